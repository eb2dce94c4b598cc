import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { createChanges } from '../../../src/identity/changes.ts';
import { createAttempts } from '../../../src/identity/password/throttle-store.ts';
import { identityMigrations } from '../../../src/identity/store.ts';
import { newFamily } from '../../../src/identity/token/family.ts';
import { addRefresh, findFamily, findRefresh, saveFamily } from '../../../src/identity/token/family-store.ts';
import { isTokenRevoked, revokeToken } from '../../../src/identity/token/revocation-store.ts';
import { createSweep } from '../../../src/identity/token/sweep.ts';
import type { Store } from '../../../src/store/store.ts';
import { settle } from '../../support/fake-clock.ts';
import { describeOnStores, silentLogger, type TestDatabase } from '../../support/stores.ts';
import { CONFIG, createJumpingClock, type JumpingClock } from './auth-world.ts';

const DAY_MS = 86_400_000;
const KEPT_MS = DAY_MS + 10 * 60_000;

describeOnStores('housekeeping of credentials', (engine) => {
  let database: TestDatabase;
  let store: Store;
  let clock: JumpingClock;
  let maintained: number;
  let failing = false;
  /** Prunings that have removed all they could. */
  let finished = 0;
  let sweep: ReturnType<typeof createSweep>;

  /** Lets the next sweep run to its end: until every table has nothing more to remove. */
  const swept = async () => {
    finished = 0;
    await clock.advance(60_000);
    while (finished < 4) await settle();
    await settle();
  };
  const addFamily = async (id: string, endsAtMs?: number) => {
    const about = { id, principalId: 'ada', scopes: undefined, certificateSha256: '' };
    const family = newFamily(
      { ...about, ...(endsAtMs !== undefined && { endsAtMs }) },
      CONFIG,
      clock.nowMs(),
    );
    await store.transact(async (tx) => {
      await saveFamily(tx, family);
      await addRefresh(tx, id, `token-of-${id}`, clock.nowMs());
    });
  };
  const isKept = async (id: string) => {
    const family = (await findFamily(store, id)) !== undefined;
    expect((await findRefresh(store, `token-of-${id}`)) !== undefined).toBe(family);
    return family;
  };

  beforeEach(async () => {
    database = await engine.createDatabase();
    store = await database.open(identityMigrations);
    clock = createJumpingClock();
    maintained = 0;
    failing = false;
    const maintain = async () => {
      maintained++;
      if (failing) throw new Error('database away');
    };
    const watched: Store = {
      ...store,
      async transact(work) {
        const result = await store.transact(work);
        if (result === false) finished++;
        return result;
      },
    };
    sweep = createSweep({ store: watched, clock, logger: silentLogger, signing: { maintain } });
    await sweep.start();
  });
  afterEach(async () => {
    await sweep.stop();
    expect(clock.pending()).toBe(0);
    await database.dispose();
  });

  test('families stay until every token that descends from them has expired, refresh tokens with them', async () => {
    await addFamily('idle');
    await addFamily('short', clock.nowMs() + 60_000);
    clock.jump(60_000 + KEPT_MS - 60_001);
    await swept();
    expect([await isKept('idle'), await isKept('short')]).toEqual([true, true]);
    await swept();
    expect([await isKept('idle'), await isKept('short')]).toEqual([true, false]);
    clock.jump(7 * DAY_MS);
    await swept();
    expect(await isKept('idle')).toBe(false);
  });

  test('more than one transaction may remove goes in several, in one sweep', async () => {
    for (let i = 0; i < 250; i++) await addFamily(`f${i}`);
    clock.jump(40 * DAY_MS);
    await swept();
    const query = store.query<{ identity_family: { id: string }; identity_refresh: { family_id: string } }>();
    expect(await query.selectFrom('identity_family').select('id').execute()).toEqual([]);
    expect(await query.selectFrom('identity_refresh').select('family_id').execute()).toEqual([]);
  });

  test('a single revoked token stays refused for as long as it may live', async () => {
    await store.transact((tx) => revokeToken(tx, 'j', clock.nowMs()));
    clock.jump(KEPT_MS - 60_001);
    await swept();
    expect(await isTokenRevoked(store, 'j')).toBe(true);
    await swept();
    expect(await isTokenRevoked(store, 'j')).toBe(false);
  });

  test('failures and changes that no longer count go as well', async () => {
    const changes = createChanges({ config: CONFIG, store, clock, logger: silentLogger });
    await createAttempts({ store, clock }).admit('ada', '192.0.2.1');
    await store.transact((tx) => changes.note(tx, { kind: 'key', id: 'k' }));
    const count = async (table: 'identity_throttle' | 'identity_change') =>
      (await store.query<Record<typeof table, object>>().selectFrom(table).selectAll().execute()).length;
    await swept();
    expect([await count('identity_throttle'), await count('identity_change')]).toEqual([1, 1]);
    clock.jump(15 * 60_000);
    await swept();
    expect([await count('identity_throttle'), await count('identity_change')]).toEqual([0, 1]);
    clock.jump(60 * 60_000);
    await swept();
    expect(await count('identity_change')).toBe(0);
  });

  test('keys are looked after at the start and every minute; a sweep that fails is made up for by the next', async () => {
    expect(maintained).toBe(1);
    await clock.advance(59_999);
    expect(maintained).toBe(1);
    await clock.advance(1);
    expect(maintained).toBe(2);
    await addFamily('old');
    clock.jump(40 * DAY_MS);
    failing = true;
    await clock.advance(60_000);
    await settle();
    expect([maintained, await isKept('old')]).toEqual([3, true]);
    failing = false;
    await swept();
    expect(await isKept('old')).toBe(false);
  });
});
