import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { later, levelOf } from '../../src/session/ingest.ts';
import { findLevel, type SeenLevel, sessionMigrations } from '../../src/session/store.ts';
import type { Store } from '../../src/store/store.ts';
import { createFakeClock, type FakeClock } from '../support/fake-clock.ts';
import { describeOnStores, type TestDatabase } from '../support/stores.ts';
import { createSessionWorld, levelEvent, type SessionWorld } from './session-world.ts';

const NONE: SeenLevel = { level: 1, sequence: 0, recordedAtMs: 0 };

describe('the order of defense levels', () => {
  test('the fleet counts, a cell does not', () => {
    const at = { sequence: 7, recordedAtMs: 1_700_000_000_123 };
    expect(levelOf(levelEvent(4, at))).toEqual({ level: 4, ...at });
    expect(levelOf(levelEvent(4, at, { domain: 'd', cluster: 'c' }))).toBeUndefined();
  });

  test.each([0, 6, 255])('%i is no level and is not taken for one', (level) => {
    expect(() => levelOf(levelEvent(level, { sequence: 1, recordedAtMs: 1 }))).toThrow(RangeError);
  });

  test('a stream made anew is listened to, though it counts from 1 again', () => {
    const seen = { level: 2, sequence: 900, recordedAtMs: 1_000 };
    expect(later(seen, { level: 5, sequence: 1, recordedAtMs: 1_001 })).toEqual({
      level: 5,
      sequence: 900,
      recordedAtMs: 1_001,
    });
  });

  test('a publisher whose clock was set back is listened to', () => {
    const seen = { level: 2, sequence: 900, recordedAtMs: 1_000 };
    expect(later(seen, { level: 5, sequence: 901, recordedAtMs: 400 })).toEqual({
      level: 5,
      sequence: 901,
      recordedAtMs: 1_000,
    });
  });

  test('repeated and late deliveries change nothing', () => {
    const levels = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(levels, fc.infiniteStream(fc.nat()), (published, choices) => {
        const changes = published.map((level, i) => ({ level, sequence: i + 1, recordedAtMs: (i + 1) * 10 }));
        let seen = NONE;
        for (const [i, change] of changes.entries()) {
          seen = later(seen, change);
          // Any change up to here may come again.
          const again = changes[choices.next().value! % (i + 1)]!;
          expect(later(seen, again)).toBe(seen);
        }
        expect(seen).toEqual(changes.at(-1));
      }),
    );
  });
});

describeOnStores('following the defense level', (engine) => {
  let database: TestDatabase;
  let store: Store;
  let clock: FakeClock;
  let world: SessionWorld;
  const at = (sequence: number) => ({ sequence, recordedAtMs: sequence * 1_000 });

  beforeEach(async () => {
    database = await engine.createDatabase();
    store = await database.open(sessionMigrations);
    clock = createFakeClock();
    world = createSessionWorld({ store, clock });
    await world.started.start();
  });
  afterEach(async () => {
    await world.started.stop();
    await database.dispose();
  });

  test('level 1 holds until a level was seen', async () => {
    expect(await findLevel(store)).toEqual(NONE);
  });

  test('the last of a batch holds, and it outlives the process', async () => {
    await world.deliver(levelEvent(3, at(1)), levelEvent(5, at(2)), levelEvent(4, at(3)));
    const other = await database.open();
    expect(await findLevel(other)).toEqual({ level: 4, ...at(3) });
  });

  test('a redelivered batch changes nothing', async () => {
    const batch = [levelEvent(3, at(1)), levelEvent(5, at(2))];
    await world.deliver(...batch);
    await world.deliver(...batch);
    await world.deliver(batch[0]!);
    expect(await findLevel(store)).toEqual({ level: 5, ...at(2) });
  });

  test("a cell's level is left aside", async () => {
    await world.deliver(levelEvent(2, at(1)));
    await world.deliver(levelEvent(5, at(2), { domain: 'd', cluster: 'c' }));
    expect(await findLevel(store)).toEqual({ level: 2, ...at(1) });
  });

  test('of servers that handle events at once the newest event holds', async () => {
    const worlds = [world, createSessionWorld({ store: await database.open(), clock })];
    await worlds[1]!.started.start();
    const deliveries = Array.from({ length: 12 }, (_, i) =>
      worlds[i % 2]!.deliver(levelEvent((i % 5) + 1, at(12 - i))),
    );
    await Promise.all(deliveries);
    expect(await findLevel(store)).toEqual({ level: 1, ...at(12) });
    await worlds[1]!.started.stop();
  });

  test('an event with a level that is none is refused and leaves the level alone', async () => {
    await world.deliver(levelEvent(2, at(1)));
    await expect(world.deliver(levelEvent(9, at(2)))).rejects.toThrow(RangeError);
    expect(await findLevel(store)).toEqual({ level: 2, ...at(1) });
  });
});
