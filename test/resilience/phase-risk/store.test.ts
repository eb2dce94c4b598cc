/** Detectors and looks on every engine. */

import { create } from '@bufbuild/protobuf';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { PhaseRiskAssessmentSchema } from '../../../src/gen/homeostat/resilience/v1/thermodynamics_service_pb.ts';
import type { RiskSeverity } from '../../../src/resilience/early-warning/assessment.ts';
import { assess } from '../../../src/resilience/early-warning/assessment.ts';
import { lookToProto, type SettledLook } from '../../../src/resilience/phase-risk/assessment-message.ts';
import { Detector } from '../../../src/resilience/phase-risk/detector.ts';
import {
  createRiskStore,
  type LookFilter,
  type RiskStore,
} from '../../../src/resilience/phase-risk/store.ts';
import { resilienceMigrations } from '../../../src/resilience/store.ts';
import type { Store } from '../../../src/store/store.ts';
import { describeOnStores, type TestDatabase } from '../../support/stores.ts';
import { config, MINUTE_MS } from '../worlds.ts';
import { judgeByHash, lookOf, recovering } from './worlds.ts';

const C1 = { domain: 'fleet', cluster: 'c1' };
const C2 = { domain: 'fleet', cluster: 'c2' };

function settled(place: number, shape: Partial<SettledLook> = {}): SettledLook {
  return {
    id: `look-${place}`,
    scope: C1,
    atMs: place * 15 * MINUTE_MS,
    recordedAtMs: place * 1_000,
    held: {},
    severity: 'NORMAL',
    seed: 2 ** 48 - 1,
    assessment: lookOf({ utilization: 'NORMAL' }),
    ...shape,
  };
}

/** A look with signals: judged by hash until one alarms. */
async function alarmedLook(place: number): Promise<SettledLook> {
  for (let seed = 0; ; seed++) {
    const series = ['utilization', 'load_variance'].map((name, index) => ({
      name,
      intervalMs: MINUTE_MS,
      values: Float64Array.from(recovering(100, seed + index)),
    }));
    const assessment = await assess(series, { ...config, detrend: 'GAUSSIAN', seed }, judgeByHash);
    if (assessment.severity === 'NORMAL') continue;
    return settled(place, { assessment, severity: 'HIGH', held: { utilization: 'HIGH' } });
  }
}

describeOnStores('phase risk', (engine) => {
  let database: TestDatabase;
  let store: Store;
  let table: RiskStore;
  beforeEach(async () => {
    database = await engine.createDatabase();
    store = await database.open(resilienceMigrations);
    table = createRiskStore(store);
  });
  afterEach(() => database.dispose());

  const add = (...looks: readonly SettledLook[]) =>
    store.transact(async (tx) => {
      const first = (await table.lastPlace()) + 1;
      for (const [index, look] of looks.entries()) await table.addLook(tx, first + index, look);
    });
  const signals = () =>
    store
      .query<{
        phase_transition_signals: {
          metric_id: string;
          metric_name: string;
          signal_type: string;
          severity: string;
          p_adjusted: number;
          detected_at: number;
        };
      }>()
      .selectFrom('phase_transition_signals')
      .selectAll()
      .execute();

  test('is empty at first', async () => {
    expect(await table.loadDetectors('windows')).toEqual([]);
    expect(await table.lastPlace()).toBe(0);
    expect(await table.listLooks({ recordedSinceMs: 0, limit: 10 })).toEqual({ looks: [], count: 0 });
    expect(await table.latestLook(C1)).toBeUndefined();
  });

  test('detectors come back to the bit, each feed by itself, the newest in place of older ones', async () => {
    const detector = new Detector('windows', MINUTE_MS);
    const save = (feed: 'windows' | 'maps') =>
      store.transact((tx) => table.saveDetectors(tx, feed, [{ cell: C1, state: detector.state() }], 5));
    await store.transact((tx) => table.saveDetectors(tx, 'windows', [], 5));
    for (const [index, value] of [0.1, 1e-300, 1 / 3, -7].entries())
      detector.take({ startMs: index * MINUTE_MS, endMs: (index + 1) * MINUTE_MS }, [
        { metric: 'utilization', value },
      ]);
    await save('windows');
    const older = detector.state();
    await save('maps');
    detector.take({ startMs: 9 * MINUTE_MS, endMs: 10 * MINUTE_MS }, [{ metric: 'load_variance', value: 2 }]);
    await save('windows');
    expect(await table.loadDetectors('windows')).toEqual([{ cell: C1, state: detector.state() }]);
    expect(await table.loadDetectors('maps')).toEqual([{ cell: C1, state: older }]);
    const [saved] = await table.loadDetectors('windows');
    expect(Detector.restore('windows', saved!.state).state()).toEqual(detector.state());
  });

  test('a look comes back as the message that was made of it, its alarms beside it', async () => {
    const look = await alarmedLook(1);
    const made = await store.transact((tx) => table.addLook(tx, 1, look));
    const message = create(PhaseRiskAssessmentSchema, lookToProto(look));
    expect(made).toEqual(message);
    expect(await table.latestLook(C1)).toEqual(message);
    expect(await table.listLooks({ recordedSinceMs: 0, limit: 1 })).toEqual({
      looks: [{ place: 1, assessment: message }],
      count: 1,
    });
    const kept = await signals();
    expect(kept.length).toBeGreaterThan(0);
    expect(
      kept.map(({ metric_name, signal_type, p_adjusted }) => [metric_name, signal_type, p_adjusted]),
    ).toEqual(expect.arrayContaining(message.signals.map((one) => [one.metric, one.family, one.pAdjusted])));
    expect(kept).toHaveLength(message.signals.length);
    for (const signal of kept) expect(signal).toMatchObject({ metric_id: look.id, detected_at: look.atMs });
  });

  test('a look is kept once', async () => {
    await add(settled(1));
    await expect(add(settled(1))).rejects.toThrow();
    expect(await table.lastPlace()).toBe(1);
  });

  test('looks are narrowed by cell, severity, time and place, and counted before they are cut into pages', async () => {
    const kinds: [typeof C1, RiskSeverity][] = [
      [C1, 'NORMAL'],
      [C2, 'HIGH'],
      [C1, 'HIGH'],
      [C1, 'UNKNOWN'],
      [C2, 'NORMAL'],
    ];
    await add(...kinds.map(([scope, severity], index) => settled(index + 1, { scope, severity })));
    const find = async (filter: Partial<LookFilter>) => {
      const { looks, count } = await table.listLooks({ recordedSinceMs: 0, limit: 10, ...filter });
      return [looks.map(({ place }) => place), count];
    };
    expect(await find({})).toEqual([[5, 4, 3, 2, 1], 5]);
    expect(await find({ scope: C1 })).toEqual([[4, 3, 1], 3]);
    expect(await find({ severity: 'HIGH' })).toEqual([[3, 2], 2]);
    expect(await find({ scope: C1, severity: 'HIGH' })).toEqual([[3], 1]);
    expect(await find({ recordedSinceMs: 3_000 })).toEqual([[5, 4, 3], 3]);
    expect(await find({ limit: 2 })).toEqual([[5, 4], 5]);
    expect(await find({ limit: 2, beforePlace: 4 })).toEqual([[3, 2], 5]);
    expect(await find({ scope: { domain: 'fleet', cluster: 'zz' } })).toEqual([[], 0]);
    expect((await table.latestLook(C2))?.id).toBe('look-5');
    expect(await table.lastPlace()).toBe(5);
  });

  test('looks are pruned by the wall time of recording, their alarms with them', async () => {
    await add(await alarmedLook(1), settled(2), await alarmedLook(3));
    const before = await signals();
    await table.pruneLooks(3_000);
    expect(
      (await table.listLooks({ recordedSinceMs: 0, limit: 10 })).looks.map(({ place }) => place),
    ).toEqual([3]);
    expect(await signals()).toEqual(before.filter((signal) => signal.metric_id === 'look-3'));
    expect(await table.lastPlace()).toBe(3);
    await table.pruneLooks(3_000);
    expect((await table.latestLook(C1))?.id).toBe('look-3');
  });

  test('what a transaction wrote goes with it when it fails', async () => {
    const cut = store.transact(async (tx) => {
      await table.addLook(tx, 1, await alarmedLook(1));
      await table.saveDetectors(tx, 'maps', [{ cell: C1, state: new Detector('maps', 1).state() }], 0);
      throw new Error('cut off');
    });
    await expect(cut).rejects.toThrow('cut off');
    expect(await table.lastPlace()).toBe(0);
    expect(await signals()).toEqual([]);
    expect(await table.loadDetectors('maps')).toEqual([]);
  });
});
