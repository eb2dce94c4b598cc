/** Maps become samples: committed, recovered, taken back, and kept from running away from the windows. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { EnergyMapUpdated } from '../../../src/gen/homeostat/energy/v1/energy_events_pb.ts';
import { LEAD_SLOTS } from '../../../src/resilience/phase-risk/detector.ts';
import { createDetectors, type Detectors } from '../../../src/resilience/phase-risk/detectors.ts';
import { createMapIngest } from '../../../src/resilience/phase-risk/map-ingest.ts';
import { createRiskStore } from '../../../src/resilience/phase-risk/store.ts';
import { resilienceMigrations } from '../../../src/resilience/store.ts';
import type { Store } from '../../../src/store/store.ts';
import { until } from '../../support/broker.ts';
import { createFakeClock, type FakeClock, settle } from '../../support/fake-clock.ts';
import { openTestStore, type TestStore } from '../../support/stores.ts';
import { config, MINUTE_MS } from '../worlds.ts';
import { emptyTables, energyMap } from './worlds.ts';

let world: TestStore;
let clock: FakeClock;
beforeAll(async () => {
  world = await openTestStore(resilienceMigrations);
});
afterAll(() => world.dispose());
beforeEach(async () => {
  clock = createFakeClock();
  await emptyTables(world.store);
});

/** An ingest as a fresh process makes it, recovered. */
async function start(transact: Store['transact'] = (work) => world.store.transact(work)) {
  const detectors = createDetectors(clock, config.gridMs);
  const table = createRiskStore(world.store);
  const ingest = createMapIngest({ detectors, table, store: { transact }, clock });
  await ingest.recover();
  const energyOf = (cluster: string, atMinute: number) => [
    ...(detectors.find('maps', `fleet/${cluster}`)?.slots('map_energy', atMinute * MINUTE_MS) ?? []),
  ];
  return { ...ingest, detectors, table, energyOf };
}

const maps = (from: number, to: number, cluster = 'c1') =>
  Array.from({ length: to - from }, (_, i) =>
    energyMap({ index: from + i, cluster, net: Math.exp(from + i) }),
  );

function window(detectors: Detectors, minute: number): void {
  const span = { startMs: (minute - 1) * MINUTE_MS, endMs: minute * MINUTE_MS };
  detectors.take('windows', 'fleet/c1', span, []);
}

describe('a batch', () => {
  test('is kept: a fresh process goes on where it stood', async () => {
    const first = await start();
    await first.take([...maps(0, 3), ...maps(0, 2, 'c2')]);
    expect(first.energyOf('c1', 3)).toEqual([0, 1, 2]);
    const second = await start();
    expect(second.energyOf('c1', 3)).toEqual([0, 1, 2]);
    expect(second.energyOf('c2', 3)).toEqual([0, 1, Number.NaN]);
    await second.take(maps(3, 4));
    expect((await start()).energyOf('c1', 4)).toEqual([0, 1, 2, 3]);
  });

  test('that comes again changes nothing, in part or in whole', async () => {
    const { take, table } = await start();
    await take(maps(0, 5));
    const kept = await table.loadDetectors('maps');
    await take(maps(0, 5));
    await take(maps(2, 4));
    expect(await table.loadDetectors('maps')).toEqual(kept);
    const other = await start();
    await other.take(maps(3, 5));
    expect(await table.loadDetectors('maps')).toEqual(kept);
  });

  test('that is not committed is taken back before the next', async () => {
    let isCut = false;
    const { take, energyOf, table } = await start(async (work) => {
      if (isCut) throw new Error('the disk is full');
      return world.store.transact(work);
    });
    await take(maps(0, 2));
    isCut = true;
    await expect(take(maps(2, 6))).rejects.toThrow('the disk is full');
    isCut = false;
    await take(maps(2, 3));
    expect(energyOf('c1', 6)).toEqual([0, 1, 2, Number.NaN, Number.NaN, Number.NaN]);
    expect((await table.loadDetectors('maps'))[0]!.state.passedMs).toBe(3 * MINUTE_MS);
  });

  test('with a map that names no stream or span is refused as a whole', async () => {
    const { take, table } = await start();
    for (const lack of ['stream', 'start', 'end'] as const) {
      const bad = energyMap({ index: 1 });
      bad.map![lack] = undefined as never;
      await expect(take([...maps(0, 1), bad])).rejects.toThrow(TypeError);
    }
    await expect(
      take([{ ...energyMap({ index: 0 }), map: undefined } as unknown as EnergyMapUpdated]),
    ).rejects.toThrow(TypeError);
    expect(await table.loadDetectors('maps')).toEqual([]);
    await take(maps(0, 1));
    expect(await table.loadDetectors('maps')).toHaveLength(1);
  });

  test('says nothing of a map without an observed cell, but that it passed', async () => {
    const { take, detectors, energyOf } = await start();
    await take([energyMap({ index: 0 }), energyMap({ index: 1, observedCount: 0 })]);
    expect(detectors.find('maps', 'fleet/c1')!.passedMs).toBe(2 * MINUTE_MS);
    expect(energyOf('c1', 1)).toEqual([0]);
  });
});

describe('maps ahead of their windows', () => {
  /** Takes a batch; tells whether it is done. */
  function begin(
    ingest: { take(batch: readonly EnergyMapUpdated[]): Promise<void> },
    batch: EnergyMapUpdated[],
  ) {
    const state = { done: false, error: undefined as unknown };
    void ingest.take(batch).then(
      () => {
        state.done = true;
      },
      (error: unknown) => {
        state.error = error;
      },
    );
    return state;
  }
  test('wait at the lead their detectors can hold, and go on with the windows', async () => {
    const ingest = await start();
    window(ingest.detectors, 1);
    await ingest.take(maps(0, LEAD_SLOTS + 1));
    const ahead = begin(ingest, maps(LEAD_SLOTS + 1, LEAD_SLOTS + 3));
    await clock.advance(60_000);
    expect(ahead.done).toBe(false);
    window(ingest.detectors, 2);
    await settle();
    expect(ahead.done).toBe(false);
    window(ingest.detectors, 3);
    await until(() => ahead.done);
    expect(clock.pending()).toBe(0);
  });

  test('notice windows that were taken back and came again', async () => {
    const ingest = await start();
    window(ingest.detectors, 100);
    const saved = new Map([['fleet/c1', ingest.detectors.find('windows', 'fleet/c1')!.state()]]);
    ingest.detectors.restore('windows', new Map());
    window(ingest.detectors, 1);
    const ahead = begin(ingest, maps(LEAD_SLOTS + 50, LEAD_SLOTS + 51));
    await settle();
    expect(ahead.done).toBe(false);
    ingest.detectors.restore('windows', saved);
    await clock.advance(1_000);
    await until(() => ahead.done);
  });

  test('of a cell without windows wait for nothing', async () => {
    const { take } = await start();
    await take(maps(0, 2 * LEAD_SLOTS));
  });

  test('are let go by a stop, uncommitted', async () => {
    const ingest = await start();
    window(ingest.detectors, 1);
    const ahead = begin(ingest, maps(0, LEAD_SLOTS + 2));
    await settle();
    ingest.stop();
    await settle();
    expect(ahead.error).toMatchObject({ message: 'maps are no longer taken in' });
    expect(clock.pending()).toBe(0);
    expect(await ingest.table.loadDetectors('maps')).toEqual([]);
  });
});
