/** Classify over its handler, what Predict says of regimes, and what is announced when a stream changes. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { topics } from '../../../src/bus/topics.ts';
import { AppError } from '../../../src/errors.ts';
import type { RegimeChanged } from '../../../src/gen/homeostat/energy/v1/energy_events_pb.ts';
import {
  ForecastBasis,
  ForecastRefusal,
  Regime,
  RegimeBasis,
} from '../../../src/gen/homeostat/energy/v1/energy_service_pb.ts';
import { createRandom } from '../../../src/random.ts';
import { until } from '../../support/broker.ts';
import { type EnergyWorld, startEnergyWorld } from '../support/energy-world.ts';
import { closedWindow, STREAM, startOf } from '../support/windows.ts';

const WINDOWS = 150;
const JUMP = 120;
const NODES = Array.from({ length: 12 }, (_, at) => `n${String(at).padStart(2, '0')}`);

/** Watts of a dozen nodes, calm until they all take much more. */
function fleetWindow(at: number) {
  const random = createRandom(31, at);
  const power = () => ({ power: 100 + 3 * random.normal() + (at >= JUMP ? 15 : 0) });
  return closedWindow({
    at,
    nodes: Object.fromEntries(NODES.map((name) => [name, power()])),
    metrics: { power: { unit: 'W' } },
  });
}

const grid = (seed: number, rows = 4, cols = 5) => {
  const random = createRandom(17, seed);
  return { rows, cols, values: Array.from({ length: rows * cols }, () => random.normal()) };
};

/** The reason an RPC is refused for, and the fields it blames. */
async function refusal(answer: Promise<unknown>): Promise<string> {
  const error = await answer.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof AppError)) throw error ?? new Error('it was not refused');
  return [error.reason, ...error.violations.map(({ field }) => field)].join(' ');
}

describe('the regime of a stream', () => {
  let world: EnergyWorld;
  const changes: RegimeChanged[] = [];

  beforeAll(async () => {
    world = await startEnergyWorld();
    world.bus.subscribe(topics.regimeChanged, ({ message }) => changes.push(message));
    await world.publish(
      Array.from({ length: JUMP }, (_, at) => fleetWindow(at)),
      JUMP,
    );
  });
  afterAll(() => world.stop());

  test('energy.regime of a calm one is EQUILIBRIUM, with its features', async () => {
    const told = await world.call('classify', { stream: STREAM });
    expect(told).toMatchObject({
      regime: Regime.EQUILIBRIUM,
      basis: RegimeBasis.STREAM,
      mapCount: 64,
      modelVersion: 1,
    });
    expect(told.posterior.map(({ regime }) => regime)).toEqual([1, 2, 3, 4, 5]);
    expect(told.posterior.reduce((sum, { probability }) => sum + probability, 0)).toBeCloseTo(1, 12);
    expect(told.posterior[0]!.probability).toBeGreaterThan(0.5);
    const names = told.features.map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(['energy_trend', 'spectral_slope', 'permutation_entropy']));
    const since = [told.onset, told.onsetMap, told.windowsSinceAlarm, told.secondsSinceOnset];
    expect(since).toEqual(new Array(4).fill(undefined));
  });

  test('is in its maps and in its forecasts, which it approves', async () => {
    const { map } = await world.call('getMap', { stream: STREAM });
    const told = await world.call('classify', { stream: STREAM });
    expect(map!.regime).toBe(told.regime);
    expect(map!.posterior).toEqual(told.posterior);
    const next = await world.call('predict', { stream: STREAM });
    expect(next).toMatchObject({ regime: told.regime, posterior: told.posterior });
    expect(next.approved).toBe(next.refusals.length === 0);
    expect(next.refusals).not.toContain(ForecastRefusal.NOT_EQUILIBRIUM);
    const far = await world.call('predict', { stream: STREAM, steps: 64 });
    expect(far.refusals).toContain(ForecastRefusal.FEW_SCORES);
    expect(far.approved).toBe(false);
  });

  test('energy.regime changes are announced once each, from the first label on', async () => {
    await world.publish(
      Array.from({ length: WINDOWS - JUMP }, (_, at) => fleetWindow(JUMP + at)),
      WINDOWS,
    );
    await until(async () => changes.some(({ to }) => to === Regime.TRANSITION));
    const { maps } = await world.call('listMaps', { stream: STREAM, page: { pageSize: 200 } });
    const labels = maps.map(({ regime }) => regime).reverse();
    const switches = labels.flatMap((label, at) => (at > 0 && labels[at - 1] !== label ? [at] : []));
    await until(async () => changes.length === switches.length);
    expect(changes.map(({ start }) => Number(start!.seconds) * 1000)).toEqual(switches.map(startOf));
    expect(changes.map(({ to }) => to)).toEqual(switches.map((at) => labels[at]));
    expect(changes[0]).toMatchObject({ from: Regime.WARMING_UP, to: Regime.EQUILIBRIUM });
    expect(switches[0]).toBe(15);
    const jump = switches.find((at) => at >= JUMP)!;
    expect(labels[jump]).toBe(Regime.TRANSITION);
    expect(jump).toBeLessThan(JUMP + 15);
    expect(changes.at(-1)!.posterior).toHaveLength(5);
    const { onset, secondsSinceOnset } = await world.call('classify', { stream: STREAM });
    const newest = await world.call('getMap', { stream: STREAM });
    expect(secondsSinceOnset).toBe(Number(newest.map!.start!.seconds - onset!.seconds));
    const began = (Number(onset!.seconds) * 1000 - startOf(0)) / 10_000;
    expect(began).toBeGreaterThan(JUMP - 20);
    expect(began).toBeLessThan(JUMP + 5);
  });

  test('energy.regime survives a restart', async () => {
    const told = await world.call('classify', { stream: STREAM });
    await world.restart();
    expect(await world.call('classify', { stream: STREAM })).toEqual(told);
  });

  test('is judged from as many windows as configured, anew', async () => {
    const config = { regimeWindows: 20, falseAlarmWindows: 500 };
    const written = await world.call('configureStream', { stream: STREAM, config });
    expect(written.config).toMatchObject(config);
    await world.publish([fleetWindow(WINDOWS)], WINDOWS + 1);
    expect(await world.call('classify', { stream: STREAM })).toMatchObject({
      regime: Regime.WARMING_UP,
      mapCount: 1,
    });
  });
});

describe('the regime of maps handed in', () => {
  let world: EnergyWorld;
  beforeAll(async () => {
    world = await startEnergyWorld();
  });
  afterAll(() => world.stop());
  const classify = (request: Parameters<typeof world.call<'classify'>>[1]) => world.call('classify', request);

  test('energy.regime of a series is judged like a stream, of fewer than 16 by the newest alone', async () => {
    const maps = Array.from({ length: 40 }, (_, at) => grid(at));
    const series = await classify({ maps });
    expect(series).toMatchObject({ basis: RegimeBasis.SERIES, mapCount: 40, regime: Regime.EQUILIBRIUM });
    const few = await classify({ maps: maps.slice(0, 15) });
    expect(few).toMatchObject({ basis: RegimeBasis.SPATIAL, mapCount: 1 });
    expect(few.features.map(({ name }) => name)).toEqual([
      'spectral_slope',
      'spectral_centroid',
      'spectral_flatness',
      'gradient_kurtosis',
    ]);
    expect((await classify({ maps: [maps[14]!] })).posterior).toEqual(few.posterior);
    const total = few.posterior.reduce((sum, { probability }) => sum + probability, 0);
    expect(total).toBeCloseTo(1, 12);
  });

  test('what is unset is as its default written out', async () => {
    const maps = Array.from({ length: 92 }, (_, at) => {
      const { values, ...shape } = grid(at);
      return { ...shape, values: values.map((x) => (at >= 80 ? x + 4 : x)) };
    });
    const unset = await classify({ maps });
    expect(unset.secondsSinceOnset).toBeDefined();
    expect(await classify({ maps, dtSeconds: 1 })).toEqual(unset);
    const one = await classify({ maps: maps.slice(0, 1) });
    expect(await classify({ maps: maps.slice(0, 1), dtSeconds: 1 })).toEqual(one);
  });

  test('names the map a change began with, and how long ago that was', async () => {
    const shifted = (at: number) => ({
      ...grid(at),
      values: grid(at).values.map((x) => (at >= 80 ? x + 4 : x)),
    });
    const told = await classify({ maps: Array.from({ length: 92 }, (_, at) => shifted(at)) });
    expect(told.regime).toBe(Regime.TRANSITION);
    expect(Math.abs(told.onsetMap! - 80)).toBeLessThanOrEqual(4);
    expect(told.windowsSinceAlarm).toBeLessThan(12);
    expect(told.onset).toBeUndefined();
    expect(told.secondsSinceOnset).toBe(91 - told.onsetMap!);
    const slower = await classify({
      maps: Array.from({ length: 92 }, (_, at) => shifted(at)),
      dtSeconds: 2.5,
    });
    expect(slower).toEqual({ ...told, secondsSinceOnset: 2.5 * (91 - told.onsetMap!) });
  });

  test('is refused what cannot be judged', async () => {
    const none = { domain: 'lab', cluster: 'none' };
    expect(await refusal(classify({}))).toBe('FIELD_INVALID maps');
    expect(await refusal(classify({ stream: none, maps: [grid(1)] }))).toBe('FIELD_INVALID maps');
    expect(await refusal(classify({ stream: none }))).toBe('STREAM_NOT_FOUND');
    expect(await refusal(classify({ maps: [grid(1), grid(1, 5, 4)] }))).toBe('SHAPE_MISMATCH');
    const broken = { rows: 1, cols: 2, values: [1, Number.NaN] };
    expect(await refusal(classify({ maps: [grid(1, 1, 2), broken] }))).toBe(
      'FIELD_INVALID maps[1].values[1]',
    );
    const huge = { rows: 1024, cols: 1024, values: [] };
    await expect(classify({ maps: new Array(17).fill(huge) })).rejects.toMatchObject({
      reason: 'WORK_TOO_LARGE',
      message: `${17 * 2 ** 20} cells were asked for, which is over ${2 ** 24}`,
    });
    await world.call('configureStream', { stream: none, config: {} });
    expect(await classify({ stream: none })).toMatchObject({ regime: Regime.WARMING_UP, mapCount: 0 });
  });

  test('is in forecasts of them, a lone map being refused approval', async () => {
    const alone = await world.call('predict', { map: { grid: grid(1) } });
    expect(alone).toMatchObject({ basis: ForecastBasis.PERSISTENCE_ONLY, approved: false });
    expect(alone.refusals).toEqual(
      expect.arrayContaining([
        ForecastRefusal.PERSISTENCE_ONLY,
        ForecastRefusal.FEW_SCORES,
        ForecastRefusal.COVERAGE,
      ]),
    );
    const history = Array.from({ length: 100 }, (_, at) => grid(at));
    const told = await world.call('predict', { map: { grid: grid(100) }, history });
    const judged = await classify({ maps: [...history, grid(100)] });
    expect(told).toMatchObject({ regime: judged.regime, posterior: judged.posterior });
  });
});
