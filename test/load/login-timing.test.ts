/**
 * Whether the time of a refused login tells names from each other: unknown, wrong password and disabled are tried in
 * turn, each with a name and an address of its own, so that nothing is throttled. Argon2 alone takes some 20 ms, and
 * the medians of 200 samples may differ by no more than 5 %.
 */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { identityMigrations } from '../../src/identity/store.ts';
import { type AuthWorld, createAuthWorld, PASSWORD } from '../identity/token/auth-world.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { openTestStore, type TestStore } from '../support/stores.ts';

const SAMPLES = 200;
const WARM_UP = 20;
const TOLERANCE = 0.05;

/** One name cannot be tried more than five times in a row; wrong and disabled take turns among these. */
const NAMES = Math.ceil((SAMPLES + WARM_UP) / 4);

let opened: TestStore;
let world: AuthWorld;
const clock = createFakeClock();

beforeAll(async () => {
  opened = await openTestStore(identityMigrations);
  world = createAuthWorld({ store: opened.store, clock, config: { staleMs: Number.POSITIVE_INFINITY } });
  await world.auth.start();
  for (let i = 0; i < NAMES; i++) {
    await world.add(`wrong-${i}`, { password: PASSWORD });
    await world.add(`disabled-${i}`, { password: PASSWORD, disabled: true });
  }
});
afterAll(async () => {
  await world.auth.stop();
  await opened.dispose();
});

test('identity.A3 unknown, wrong and disabled take the same time', async () => {
  const attempts = {
    unknown: (i: number) => world.login(`unknown-${i % NAMES}`, PASSWORD, peer(i)),
    wrong: (i: number) => world.login(`wrong-${i % NAMES}`, 'wrong horse battery', peer(i)),
    disabled: (i: number) => world.login(`disabled-${i % NAMES}`, PASSWORD, peer(i)),
  };
  const seconds: Record<string, number[]> = { unknown: [], wrong: [], disabled: [] };
  for (let i = 0; i < SAMPLES + WARM_UP; i++) {
    await clock.advance(1_000); // So that the server as a whole is not throttled.
    for (const [kind, attempt] of Object.entries(attempts)) {
      const startedMs = performance.now();
      await expect(attempt(i)).rejects.toMatchObject({ reason: 'INVALID_CREDENTIALS' });
      if (i >= WARM_UP) seconds[kind]!.push(performance.now() - startedMs);
    }
  }
  const medians = Object.entries(seconds).map(([kind, all]) => [kind, median(all)] as const);
  console.log(medians.map(([kind, ms]) => `${kind} ${ms.toFixed(2)} ms`).join(', '));
  const values = medians.map(([, ms]) => ms);
  expect(Math.max(...values) / Math.min(...values)).toBeLessThanOrEqual(1 + TOLERANCE);
});

const peer = (i: number) => ({ address: `10.0.${i >> 8}.${i & 255}`, certificate: undefined });

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
}
