/** Predict and ListPredictors over their handlers; what a restart keeps; what is announced of scored forecasts. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { topics } from '../../../src/bus/topics.ts';
import { systemClock } from '../../../src/clock.ts';
import { energyMigrations } from '../../../src/energy/context.ts';
import { createMapIngest, type IngestDeps } from '../../../src/energy/ingest.ts';
import { createMapStore } from '../../../src/energy/map-store.ts';
import { createStreamStore } from '../../../src/energy/store.ts';
import { createMapFeed } from '../../../src/energy/watch.ts';
import { AppError } from '../../../src/errors.ts';
import type { ForecastScored } from '../../../src/gen/homeostat/energy/v1/energy_events_pb.ts';
import {
  BudgetMode,
  EntropyUnit,
  ForecastBasis,
  ForecastRefusal,
  PredictorKind,
} from '../../../src/gen/homeostat/energy/v1/energy_service_pb.ts';
import { Boundary, NegativePolicy } from '../../../src/gen/homeostat/type/v1/grid_pb.ts';
import { createFakeClock } from '../../support/fake-clock.ts';
import { openTestStore } from '../../support/stores.ts';
import { CONFIG, type EnergyWorld, startEnergyWorld } from '../support/energy-world.ts';
import { closedWindow, STREAM, startOf } from '../support/windows.ts';
import { waves } from './support/fields.ts';

const SIDE = 4;
const WINDOWS = 130;
const ALL = [
  PredictorKind.PERSISTENCE,
  PredictorKind.CLIMATOLOGY,
  PredictorKind.SPECTRAL,
  PredictorKind.DMD,
  PredictorKind.STENCIL,
];
const drift = waves(SIDE, { nu: 0, rowShift: 0.25, colShift: 0 });

/** A window whose map is the drifting field: a gauge of energy is measured by its last value. */
function fieldWindow(at: number, more: readonly (readonly [number, number])[] = []) {
  const cells = Array.from({ length: SIDE * SIDE }, (_, i) => [Math.floor(i / SIDE), i % SIDE] as const);
  cells.push(...more);
  const name = ([row, col]: readonly [number, number]) => `n${row}${col}`;
  return closedWindow({
    at,
    nodes: Object.fromEntries(
      cells.map((cell) => [name(cell), { energy: { mean: 20 + drift(cell[0], cell[1], at) } }]),
    ),
    cells: Object.fromEntries(cells.map((cell) => [name(cell), cell])),
    metrics: { energy: { unit: 'W' } },
  });
}

const grid = (at: number, side = SIDE) => ({
  rows: side,
  cols: side,
  values: Array.from({ length: side * side }, (_, i) => drift(Math.floor(i / side), i % side, at)),
});

/** The reason an RPC is refused for, and the fields it blames. */
async function refusal(answer: Promise<unknown>): Promise<string> {
  const error = await answer.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof AppError)) throw error ?? new Error('it was not refused');
  const fields = error.violations.map(({ field }) => field).join(' ');
  return `${error.reason} ${fields}`.trim();
}

describe('forecasts of a stream', () => {
  let world: EnergyWorld;
  beforeAll(async () => {
    world = await startEnergyWorld();
    const config = { boundary: Boundary.PERIODIC, budgetMode: BudgetMode.CONSERVATIVE };
    await world.call('configureStream', { stream: STREAM, config });
    await world.publish(
      Array.from({ length: WINDOWS }, (_, at) => fieldWindow(at)),
      WINDOWS,
    );
  });
  afterAll(() => world.stop());

  test('foretell the next map, with an interval, weights and a state', async () => {
    const next = await world.call('predict', { stream: STREAM });
    const { map } = await world.call('getMap', { stream: STREAM });
    const error = (cells: readonly number[]) =>
      cells.reduce((sum, value, i) => {
        const truth = 10 * (20 + drift(Math.floor(i / SIDE), i % SIDE, WINDOWS));
        return sum + (value - truth) ** 2;
      }, 0);
    expect(error(next.prediction!.values)).toBeLessThan(0.01 * error(map!.grid!.values));
    expect(next).toMatchObject({ basis: ForecastBasis.STREAM, calibrated: true });
    expect(next.learnedCount).toBe(BigInt(WINDOWS));
    expect(next.scoredCount).toBe(BigInt(WINDOWS - 1));
    expect(next.confidence).toBeCloseTo(1 - next.expectedVrmse!, 12);
    expect(next.skill).toBeGreaterThan(0.9);
    expect(next.weights.reduce((sum, { weight }) => sum + weight, 0)).toBeCloseTo(1, 12);
    for (let i = 0; i < SIDE * SIDE; i++) {
      expect(next.lower!.values[i]).toBeLessThanOrEqual(next.prediction!.values[i]!);
      expect(next.upper!.values[i]).toBeGreaterThanOrEqual(next.prediction!.values[i]!);
    }
    const net = next.prediction!.values.reduce((sum, value) => sum + value, 0);
    expect(next.state!.net).toBeCloseTo(net, 2);
    expect(next.state!.net / map!.state!.net).toBeCloseTo(1, 9);
  });

  test('go any number of steps, and show the way when asked', async () => {
    const far = await world.call('predict', { stream: STREAM, steps: 5, returnTrajectory: true });
    expect(far.trajectory).toHaveLength(4);
    const one = await world.call('predict', { stream: STREAM, predictors: [PredictorKind.SPECTRAL] });
    const path = await world.call('predict', {
      stream: STREAM,
      steps: 5,
      returnTrajectory: true,
      predictors: [PredictorKind.SPECTRAL],
    });
    expect(path.trajectory[0]!.values).toEqual(one.prediction!.values);
    expect(one).toMatchObject({
      calibrated: false,
      weights: [{ predictor: PredictorKind.SPECTRAL, weight: 1 }],
    });
  });

  test('are the same for the same question, and differ with each part of it', async () => {
    const ask = (request: object) => world.call('predict', { stream: STREAM, steps: 3, ...request });
    const first = await ask({});
    expect(await ask({})).toEqual(first);
    const wider = await ask({ coverage: 0.99 });
    expect(wider.upper!.values[0]).toBeGreaterThan(first.upper!.values[0]!);
    expect((await ask({ steps: 4 })).prediction).not.toEqual(first.prediction);
    const bits = await ask({ entropyUnit: EntropyUnit.BITS });
    expect(bits.state!.spatialEntropy! * Math.LN2).toBeCloseTo(first.state!.spatialEntropy!, 12);
    expect((await ask({ returnTrajectory: true })).trajectory).toHaveLength(2);
  });

  test('start from a map that is handed in', async () => {
    const map = { grid: grid(7), boundary: Boundary.PERIODIC };
    const told = await world.call('predict', {
      stream: STREAM,
      map,
      predictors: [PredictorKind.PERSISTENCE],
    });
    const kept = told.prediction!.values.map((value, i) => Math.abs(value - map.grid.values[i]!));
    expect(Math.max(...kept)).toBeLessThan(1e-5);
  });

  test('energy.forecast what is unset is its default written out', async () => {
    const unset = await world.call('predict', { stream: STREAM });
    const written = { steps: 1, coverage: 0.9, dtSeconds: 10, entropyUnit: EntropyUnit.NATS };
    const again = await world.call('predict', { stream: STREAM, ...written, predictors: ALL });
    expect(again).toEqual(unset);
    expect(unset.forecastId).not.toBe('');
  });

  test('are refused what cannot be', async () => {
    const call = (request: Parameters<typeof world.call<'predict'>>[1]) =>
      refusal(world.call('predict', request));
    const other = { domain: 'lab', cluster: 'none' };
    expect(await call({})).toBe('FIELD_INVALID map');
    expect(await call({ stream: other })).toBe('STREAM_NOT_FOUND');
    expect(await call({ stream: STREAM, dtSeconds: 3 })).toBe('FIELD_INVALID dt_seconds');
    expect(await call({ stream: STREAM, history: [grid(1)] })).toBe('FIELD_INVALID history');
    expect(await call({ stream: STREAM, map: { grid: grid(1, 3) } })).toBe('SHAPE_MISMATCH');
    expect(await call({ map: { grid: grid(1) }, history: [grid(1, 3)] })).toBe('SHAPE_MISMATCH');
    const negative = { grid: { rows: 1, cols: 1, values: [-1] }, negativePolicy: NegativePolicy.REJECT };
    expect(await call({ map: negative })).toBe('NEGATIVE_ENERGY');
    expect(await refusal(world.call('listPredictors', { stream: other }))).toBe('STREAM_NOT_FOUND');
    await world.call('configureStream', { stream: other, config: {} });
    expect(await call({ stream: other })).toBe('MAP_NOT_FOUND');
  });

  test('standings tell each horizon, and a restart changes nothing of them', async () => {
    const standings = await world.call('listPredictors', { stream: STREAM });
    const horizons = standings.horizons.map(({ horizonWindows }) => horizonWindows);
    expect(horizons).toEqual([1, 2, 4, 8, 16, 32, 64]);
    const first = standings.horizons[0]!;
    expect(first.scoredCount).toBe(BigInt(WINDOWS - 1));
    expect(first.predictors.map(({ skill }) => skill)[0]).toBe(0);
    expect(first.coverages.map(({ stated }) => stated)).toEqual([0.5, 0.8, 0.9, 0.95, 0.99]);
    expect(first.coverages[2]!.observed).toBeGreaterThan(0.8);
    const told = await world.call('predict', { stream: STREAM, steps: 3 });
    await world.restart();
    expect(await world.call('listPredictors', { stream: STREAM })).toEqual(standings);
    expect(await world.call('predict', { stream: STREAM, steps: 3 })).toEqual(told);
  });

  test('energy.intervals that are infinite after a new layout are neither calibrated nor approved', async () => {
    const ask = () => world.call('predict', { stream: STREAM, steps: 8 });
    expect(await ask()).toMatchObject({ calibrated: true });
    await world.publish([fieldWindow(WINDOWS, [[SIDE, SIDE]])], WINDOWS + 1);
    const told = await ask();
    expect(told.prediction).toMatchObject({ rows: SIDE + 1, cols: SIDE + 1 });
    expect(told.upper!.values[0]).toBeGreaterThan(3.4e38);
    expect(told.scoredCount).toBeGreaterThan(8n);
    expect(told).toMatchObject({ calibrated: false, approved: false });
    expect(told.refusals).toContain(ForecastRefusal.COVERAGE);
  });
});

describe('forecasts of maps handed in', () => {
  let world: EnergyWorld;
  beforeAll(async () => {
    world = await startEnergyWorld({ sendBytesMax: 8192 });
  });
  afterAll(() => world.stop());

  test('a map alone persists, without an interval or confidence', async () => {
    const told = await world.call('predict', { map: { grid: grid(3) }, steps: 2 });
    expect(told).toMatchObject({
      basis: ForecastBasis.PERSISTENCE_ONLY,
      calibrated: false,
      confidence: 0,
      entropyRatePerSecond: 0,
      weights: [{ predictor: PredictorKind.PERSISTENCE, weight: 1 }],
    });
    expect(told.expectedVrmse).toBeUndefined();
    expect(told.prediction!.values).toEqual(grid(3).values.map(Math.fround));
    expect(told.upper!.values[0]).toBeGreaterThan(3.4e38);
  });

  test('a history teaches the law of its maps', async () => {
    const history = Array.from({ length: 40 }, (_, at) => grid(at));
    const map = { grid: grid(40), boundary: Boundary.PERIODIC };
    const told = await world.call('predict', { map, history, entropyUnit: EntropyUnit.BITS });
    expect(told).toMatchObject({ basis: ForecastBasis.HISTORY, learnedCount: 41n, scoredCount: 40n });
    expect(told.state!.entropyUnit).toBe(EntropyUnit.BITS);
    const truth = grid(41).values;
    const miss = (cells: readonly number[]) =>
      cells.reduce((sum, value, i) => sum + (value - truth[i]!) ** 2, 0);
    expect(miss(told.prediction!.values)).toBeLessThan(0.1 * miss(map.grid.values));
  });

  test('energy.forecast what is unset is its default written out, and differs from any other', async () => {
    const map = { grid: grid(12) };
    const history = Array.from({ length: 12 }, (_, at) => grid(at));
    const ask = (request: object, mapChange: object = {}) =>
      world.call('predict', { history, ...request, map: { ...map, ...mapChange } });
    const written = { steps: 1, coverage: 0.9, dtSeconds: 1, entropyUnit: EntropyUnit.NATS };
    const mapWritten = {
      observed: new Uint8Array((SIDE * SIDE) / 8).fill(255),
      unit: 'J',
      cellArea: 1,
      spacing: 1,
      boundary: Boundary.NEUMANN,
      negativePolicy: NegativePolicy.SIGNED,
    };
    const unset = await ask({});
    expect(await ask({ ...written, predictors: ALL, returnTrajectory: false }, mapWritten)).toEqual(unset);
    for (const change of [
      { steps: 2 },
      { coverage: 0.8 },
      { dtSeconds: 2 },
      { entropyUnit: EntropyUnit.BITS },
    ])
      expect(await ask({ ...written, ...change })).not.toEqual(unset);
    for (const change of [{ cellArea: 2 }, { spacing: 2 }, { boundary: Boundary.PERIODIC }])
      expect(await ask({}, change)).not.toEqual(unset);
  });

  test('energy.forecast a map or history that is none is refused by name', async () => {
    const [good, values] = [grid(0), grid(0).values];
    const faults: readonly (readonly [object, string])[] = [
      [{ values: values.with(5, Number.NaN) }, '.values[5]'],
      [{ values: values.with(0, Number.POSITIVE_INFINITY) }, '.values[0]'],
      [{ values: values.slice(1) }, '.values'],
      [{ values: [] }, ''],
      [{ values: [], rawValues: new Uint8Array(4 * SIDE * SIDE - 1) }, '.raw_values'],
      [
        { values: [], rawValues: new Uint8Array(Float32Array.from(values).fill(Number.NaN).buffer) },
        '.raw_values',
      ],
      [{ rows: 0 }, '.rows'],
      [{ rows: 1025 }, '.rows'],
      [{ cols: 0 }, '.cols'],
      [{ cols: 1025 }, '.cols'],
    ];
    for (const [fault, path] of faults) {
      const bad = { ...good, ...fault };
      expect(await refusal(world.call('predict', { map: { grid: bad } }))).toBe(
        `FIELD_INVALID map.grid${path}`,
      );
      expect(await refusal(world.call('predict', { map: { grid: good }, history: [good, bad] }))).toBe(
        `FIELD_INVALID history[1]${path}`,
      );
    }
    const observed = new Uint8Array(3);
    expect(await refusal(world.call('predict', { map: { grid: good, observed } }))).toBe(
      'FIELD_INVALID map.observed',
    );
  });

  test('energy.forecast a reply over the send limit, and a history that would keep the server busy, are refused', async () => {
    const request = { map: { grid: grid(0, 8) }, steps: 100, returnTrajectory: true };
    expect(await refusal(world.call('predict', request))).toBe('WORK_TOO_LARGE');
    const large = { rows: 128, cols: 128, rawValues: new Uint8Array(4 * 128 * 128) };
    const history = new Array(65).fill(large);
    expect(await refusal(world.call('predict', { map: { grid: large }, history }))).toBe('WORK_TOO_LARGE');
    // More cells than forecasts learn, however short the history.
    const vast = { rows: 256, cols: 257, rawValues: new Uint8Array(4 * 256 * 257) };
    const beyond = world.call('predict', { map: { grid: vast }, history: [vast] });
    expect(await refusal(beyond)).toBe('WORK_TOO_LARGE');
  });
});

describe('scored forecasts', () => {
  test('are announced once a window, with each predictor and coverage, in the transaction of the map', async () => {
    const opened = await openTestStore(energyMigrations);
    const { store } = opened;
    const events: [string, Partial<ForecastScored>][] = [];
    const bus: IngestDeps['bus'] = {
      record: async (_tx, topic, key, event) => {
        if (topic.name === topics.forecastScored.name) events.push([key, event as Partial<ForecastScored>]);
      },
    };
    const ingest = createMapIngest({
      clock: { ...createFakeClock(), monotonicMs: systemClock.monotonicMs },
      store,
      streams: createStreamStore(store),
      maps: createMapStore(store),
      bus,
      feed: createMapFeed(4),
      defaults: CONFIG,
      sliceMs: 4,
      snapshotWindows: 7,
    });
    await ingest.take(Array.from({ length: 9 }, (_, at) => fieldWindow(at)));
    expect(events.map(([key]) => key)).toEqual(
      Array.from({ length: 8 }, (_, n) => `lab.c1.${startOf(n + 1)}`),
    );
    const scores = events.at(-1)![1].scores!;
    expect(scores.map(({ horizonWindows }) => horizonWindows)).toEqual([1, 2, 4, 8]);
    expect(scores[0]!.predictors.map(({ predictor }) => predictor)).toEqual([1, 2, 3, 4, 5]);
    expect(scores[0]!.coverages).toHaveLength(5);
    expect(scores[3]!.coverages).toHaveLength(0);
    await opened.dispose();
  });
});
