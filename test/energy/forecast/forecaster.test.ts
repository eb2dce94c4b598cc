/** Forecasts of fields whose law is known, scored as they come; what a forecaster keeps and forgets. */
import { describe, expect, test } from '@jest/globals';
import { FORECAST_CELLS_MAX, Forecaster } from '../../../src/energy/forecast/forecaster.ts';
import { HORIZONS } from '../../../src/energy/forecast/horizon.ts';
import { COVERAGES } from '../../../src/energy/forecast/interval.ts';
import { PREDICTORS } from '../../../src/energy/forecast/predictor.ts';
import type { Scored } from '../../../src/energy/forecast/score.ts';
import { followers } from '../../../src/energy/forecast/snapshots.ts';
import { runThrough } from '../../../src/numeric/slices.ts';
import { createRandom } from '../../../src/random.ts';
import { foldField, mapAt, taylorGreen, WIDTH_MS, waves } from './support/fields.ts';

const SIDE = 16;
const MIXTURE = PREDICTORS.length;

/** Scores one window ahead, oldest first. */
const oneStep = (scores: readonly (readonly Scored[])[]) =>
  scores.flat().filter(({ horizon }) => horizon === 1);

const sorted = (values: readonly number[]) => [...values].sort((a, b) => a - b);

/** A field with fresh noise in every cell of every window. */
function noisy(
  field: (row: number, col: number, t: number) => number,
  size: number,
): (row: number, col: number, t: number) => number {
  return (row, col, t) => field(row, col, t) + size * createRandom(row * 64 + col, t).normal();
}

describe('error under 5 %', () => {
  const fields = {
    heat: waves(SIDE, { nu: 0.02, rowShift: 0, colShift: 0 }),
    'advection and diffusion': waves(SIDE, { nu: 0.005, rowShift: 0.7, colShift: -1.3 }),
    'Taylor-Green vortices': taylorGreen(SIDE, 0.01),
  };
  test.each(Object.entries(fields))('energy.error one window ahead: %s', (_name, field) => {
    const scores = oneStep(foldField(new Forecaster(), SIDE, field, [0, 128])).slice(64);
    const errors = sorted(scores.map(({ relative }) => Math.sqrt(relative[MIXTURE]!)));
    const mean = errors.reduce((sum, error) => sum + error / errors.length, 0);
    expect(mean).toBeLessThan(0.05);
    expect(errors[Math.floor(0.95 * errors.length)]).toBeLessThan(0.1);
  });
});

describe('the mixture', () => {
  const drifting = waves(SIDE, { nu: 0, rowShift: 0.7, colShift: -0.3 });
  test.each([
    ['a field without noise', drifting],
    ['a field in noise', noisy(drifting, 0.3)],
    ['noise alone', noisy(() => 0, 1)],
  ])('energy.mixture is within 5 %% of its best member after 256 windows: %s', (_name, field) => {
    const scores = oneStep(foldField(new Forecaster(), SIDE, field, [0, 384])).slice(256);
    const rms = (at: number) =>
      Math.sqrt(scores.reduce((sum, { relative }) => sum + relative[at]! / scores.length, 0));
    const best = Math.min(...PREDICTORS.map((_, at) => rms(at)));
    expect(rms(MIXTURE)).toBeLessThanOrEqual(1.05 * best);
  });
});

describe('a declared total', () => {
  test('energy.conservation is kept by every forecast, over hidden cells too', () => {
    const forecaster = new Forecaster();
    const random = createRandom(8);
    const observed = Uint8Array.from({ length: SIDE * SIDE }, () => (random.uniform() < 0.9 ? 1 : 0));
    const field = noisy(waves(SIDE, { nu: 0.01, rowShift: 0.4, colShift: 0 }), 0.2);
    const over = { conserves: true, observed };
    foldField(forecaster, SIDE, field, [0, 40], over);
    const forecast = runThrough(forecaster.predict({ steps: 20, coverage: 0.9, wholePath: true }))!;
    expect(forecast.path).toHaveLength(20);
    const total = (cells: Float64Array) =>
      cells.reduce((sum, value, at) => sum + (observed[at] === 1 ? value : 0), 0);
    const before = total(forecaster.latest!.cells);
    for (const cells of forecast.path) expect(Math.abs(total(cells) / before - 1)).toBeLessThan(1e-12);
  });
});

describe('intervals of forecasts', () => {
  test('energy.intervals hold what they state over 2,000 forecasts, and over as many from a tripling of the noise on', () => {
    const quiet = noisy(() => 0, 1);
    const shift = 500;
    const field = (row: number, col: number, t: number) => quiet(row, col, t) * (t < shift ? 1 : 3);
    const forecaster = new Forecaster();
    const before = oneStep(foldField(forecaster, 4, field, [0, shift]));
    const after = oneStep(foldField(forecaster, 4, field, [shift, shift + 2_000]));
    const all = [...before, ...after].flatMap(({ covered }) => (covered ? [covered] : []));
    expect(after).toHaveLength(2_000);
    expect(all.length).toBeGreaterThan(2_490);
    for (const coverages of [all, all.slice(-after.length)])
      for (const level of [0.8, 0.9, 0.95] as const) {
        const at = COVERAGES.indexOf(level);
        const mean = coverages.reduce((sum, shares) => sum + shares[at]! / coverages.length, 0);
        expect(Math.abs(mean - level)).toBeLessThan(0.02);
        if (coverages === all) expect(forecaster.standing(1).covered![at]).toBeCloseTo(mean, 10);
      }
  });
});

describe('what is learned', () => {
  const field = noisy(waves(8, { nu: 0.01, rowShift: 0.5, colShift: 0.2 }), 0.1);

  test.each([1, 2, 3, 40, 69])('goes on bit for bit from a copy of its state after %d maps', (cut) => {
    const straight = new Forecaster();
    const scores = foldField(straight, 8, field, [0, 140]);
    const begun = new Forecaster();
    foldField(begun, 8, field, [0, cut]);
    const resumed = new Forecaster(structuredClone(begun.state()));
    expect(foldField(resumed, 8, field, [cut, 140])).toEqual(scores.slice(cut));
    const predict = (forecaster: Forecaster) =>
      runThrough(forecaster.predict({ steps: 70, coverage: 0.83, wholePath: true }));
    expect(predict(resumed)).toEqual(predict(straight));
    expect(resumed.state()).toEqual(straight.state());
  });

  test('each horizon is scored once in as many windows, and only when its window comes', () => {
    const scores = foldField(new Forecaster(), 8, field, [0, 129]);
    for (const horizon of HORIZONS) {
      const at = scores.flatMap((each, window) => (each.some((s) => s.horizon === horizon) ? [window] : []));
      expect(at).toEqual(Array.from({ length: Math.floor(128 / horizon) }, (_, n) => (n + 1) * horizon));
    }
  });

  test('a score is of what was said before the map was seen', () => {
    const forecaster = new Forecaster();
    foldField(forecaster, 8, field, [0, 50]);
    const told = runThrough(forecaster.predict({ steps: 1, coverage: 0.9 }))!.path[0]!;
    const surprise = mapAt(50, 8, (row, col) => 100 * row - col);
    const [score] = runThrough(forecaster.fold(surprise));
    const error = told.reduce((sum, value, at) => sum + (value - surprise.cells[at]!) ** 2 / 64, 0);
    // Forecasts under way are kept as float32.
    expect(score!.mixture / error).toBeCloseTo(1, 6);
  });

  test('a gap drops the forecasts of what never came and is not learned as one step', () => {
    const forecaster = new Forecaster();
    foldField(forecaster, 8, field, [0, 40]);
    expect(foldField(forecaster, 8, field, [43, 44])).toEqual([[]]);
    expect(followers(forecaster.state().models!.dmd.snapshots)).toHaveLength(39);
    expect(foldField(forecaster, 8, field, [44, 45])[0]!.map(({ horizon }) => horizon)).toEqual([1]);
  });

  test('another layout starts the predictors anew and keeps the scores', () => {
    const forecaster = new Forecaster();
    foldField(forecaster, 8, field, [0, 40]);
    foldField(forecaster, 4, field, [40, 41], { layout: '2' });
    expect(forecaster.windows).toBe(1);
    expect(forecaster.standing(1).score.count).toBe(39);
    expect(forecaster.latest!.cells).toHaveLength(16);
    const { halfWidth } = runThrough(forecaster.predict({ steps: 1, coverage: 0.9 }))!;
    expect(halfWidth).toBeUndefined();
    expect(foldField(forecaster, 4, field, [41, 42], { layout: '2' })[0]!.length).toBeGreaterThan(0);
  });

  test('energy.intervals what they held of another layout says nothing of one that has none', () => {
    const forecaster = new Forecaster();
    foldField(forecaster, 8, field, [0, 130]);
    expect(forecaster.standing(32).covered).toHaveLength(5);
    foldField(forecaster, 4, field, [130, 134], { layout: '2' });
    for (const [steps, isKnown] of [
      [2, true],
      [32, false],
    ] as const) {
      const { halfWidth, covered, score } = runThrough(forecaster.predict({ steps, coverage: 0.9 }))!;
      expect(score.count).toBeGreaterThan(0);
      expect([halfWidth !== undefined, covered !== undefined]).toEqual([isKnown, isKnown]);
    }
  });

  test.each(['PERIODIC', 'NEUMANN', 'DIRICHLET'] as const)(
    'energy.forecast the last map is the same to the bit with and without those before it: %s',
    (boundary) => {
      const forecaster = new Forecaster();
      const noise = noisy(field, 0.05);
      foldField(forecaster, 8, noise, [0, 70], { boundary });
      const alone = PREDICTORS.map((_, own) => PREDICTORS.map((_, at) => at === own));
      for (const allowed of [undefined, ...alone])
        for (const steps of [1, 7, 40]) {
          const options = { steps, coverage: 0.9, ...(allowed && { allowed }) };
          const whole = runThrough(forecaster.predict({ ...options, wholePath: true }))!;
          const last = runThrough(forecaster.predict(options))!;
          expect([whole.path.length, last.path.length]).toEqual([steps, 1]);
          expect(last).toEqual({ ...whole, path: [whole.path.at(-1)] });
        }
    },
  );

  test('a map with nothing observed scores nothing', () => {
    const forecaster = new Forecaster();
    foldField(forecaster, 8, field, [0, 10]);
    expect(foldField(forecaster, 8, field, [10, 11], { observed: new Uint8Array(64) })).toEqual([[]]);
  });

  test('maps that are too large are let be', () => {
    const forecaster = new Forecaster();
    const side = Math.sqrt(FORECAST_CELLS_MAX) + 1;
    expect(foldField(forecaster, side, () => 1, [0, 2])).toEqual([[], []]);
    expect(forecaster.latest).toBeUndefined();
    expect(runThrough(forecaster.predict({ steps: 1, coverage: 0.9 }))).toBeUndefined();
  });

  test.each([
    ['one cell', 1, () => 3],
    ['a constant field', 6, () => -2],
    ['the largest floats', 5, (row: number, col: number, t: number) => (3e38 * (row - col)) / 5 + t],
    ['the least floats', 5, (row: number, _col: number, t: number) => 1e-44 * row * t],
    ['jumps of every size', 5, (row: number, col: number, t: number) => (row - col) * 10 ** (t % 37)],
  ])('stays finite: %s', (_name, side, jumping) => {
    for (const boundary of ['PERIODIC', 'NEUMANN', 'DIRICHLET'] as const) {
      const forecaster = new Forecaster();
      const scores = foldField(forecaster, side, jumping, [0, 80], { boundary }).flat();
      expect(scores.length).toBeGreaterThan(80);
      for (const { mixture, relative } of scores)
        expect(Number.isFinite(mixture + relative[MIXTURE]!)).toBe(true);
      const { path, weights } = runThrough(
        forecaster.predict({ steps: 100, coverage: 0.99, wholePath: true }),
      )!;
      for (const cells of path) expect(cells.every(Number.isFinite)).toBe(true);
      expect(weights.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 12);
    }
  });
});

describe('the climatology', () => {
  test('answers by hour of day once a week is held', () => {
    const forecaster = new Forecaster();
    const hour = 3_600_000 / WIDTH_MS;
    // One map an hour: a daily wave that persistence follows badly half a day ahead.
    const field = (t: number) => Math.round(10 * Math.sin((2 * Math.PI * t) / 24));
    for (let t = 0; t < 24 * 9; t++) {
      const map = mapAt(t, 2, () => field(t), {
        startMs: t * hour * WIDTH_MS,
        endMs: (t + 1) * hour * WIDTH_MS,
      });
      runThrough(forecaster.fold(map));
    }
    const allowed = PREDICTORS.map((kind) => kind === 'CLIMATOLOGY');
    const { path, weights } = runThrough(
      forecaster.predict({ steps: 24, coverage: 0.9, allowed, wholePath: true }),
    )!;
    expect(weights).toEqual([0, 1, 0, 0, 0]);
    for (const [ahead, cells] of path.entries()) expect(cells[0]).toBeCloseTo(field(ahead), 4);
  });
});
