/** Each predictor alone, on fields whose law is its own. */
import { describe, expect, test } from '@jest/globals';
import { createClimatology } from '../../../src/energy/forecast/climatology.ts';
import { createDmd } from '../../../src/energy/forecast/dmd.ts';
import type { MapShape, Past, Predictor } from '../../../src/energy/forecast/predictor.ts';
import { createSpectral } from '../../../src/energy/forecast/spectral.ts';
import { createStencil } from '../../../src/energy/forecast/stencil.ts';
import { runThrough } from '../../../src/numeric/slices.ts';
import type { BoundaryRule } from '../../../src/numeric/stencil.ts';
import { createRandom } from '../../../src/random.ts';
import { mapAt, waves } from './support/fields.ts';

const SIDE = 16;

/** Teaches a predictor the maps of windows 0 .. count - 1; what it knows then. */
function teach(predictor: Predictor<unknown>, count: number, field: (at: number) => Float64Array): Past {
  const moment = (at: number) => ({ ...mapAt(at, SIDE, () => 0), cells: field(at) });
  const past = (at: number): Past => ({
    now: moment(at),
    before: at > 0 ? moment(at - 1) : undefined,
    earlier: at > 1 ? moment(at - 2) : undefined,
  });
  for (let at = 0; at < count; at++) runThrough(predictor.learn(past(at)));
  return past(count - 1);
}

function foretell(predictor: Predictor<unknown>, past: Past, horizon: number): Float64Array {
  const out = new Float64Array(past.now.cells.length);
  runThrough(predictor.predict(past, [horizon], [out]));
  return out;
}

function relativeError(told: Float64Array, truth: Float64Array): number {
  const mean = truth.reduce((sum, value) => sum + value / truth.length, 0);
  const missed = told.reduce((sum, value, at) => sum + (value - truth[at]!) ** 2, 0);
  return Math.sqrt(missed / truth.reduce((sum, value) => sum + (value - mean) ** 2, 0));
}

const shape = (boundary: BoundaryRule): MapShape => ({ rows: SIDE, cols: SIDE, boundary });
const zeros = () => new Float64Array(SIDE * SIDE);
const cellsOf = (field: (row: number, col: number, t: number) => number) => (at: number) =>
  mapAt(at, SIDE, (row, col) => field(row, col, at)).cells;

describe('spectral', () => {
  const law = { nu: 0.01, rowShift: 1.7, colShift: -0.4 };

  test('finds drift and diffusion, and foretells sixteen windows', () => {
    const field = cellsOf(waves(SIDE, law));
    const predictor = createSpectral(shape('PERIODIC'), { mean: zeros, span: () => 0 });
    const past = teach(predictor, 6, field);
    const found = predictor.state().free.law;
    expect(found.nu).toBeCloseTo(law.nu, 6);
    expect(found.rowShift).toBeCloseTo(law.rowShift, 5);
    expect(found.colShift).toBeCloseTo(law.colShift, 5);
    expect(relativeError(foretell(predictor, past, 16), field(21))).toBeLessThan(1e-4);
  });

  test('finds a drift in noise', () => {
    const clear = waves(SIDE, { ...law, nu: 0 });
    const field = cellsOf(
      (row, col, t) => clear(row, col, t) + 0.3 * createRandom(row * 64 + col, t).normal(),
    );
    const predictor = createSpectral(shape('PERIODIC'), { mean: zeros, span: () => 0 });
    teach(predictor, 40, field);
    expect(predictor.state().free.law.rowShift).toBeCloseTo(law.rowShift, 1);
    expect(predictor.state().free.law.colShift).toBeCloseTo(law.colShift, 1);
  });

  test('keeps the total of a periodic map while nothing decays', () => {
    const field = cellsOf(waves(SIDE, law));
    const predictor = createSpectral(shape('PERIODIC'), { mean: zeros, span: () => 0 });
    const past = teach(predictor, 6, field);
    const total = (cells: Float64Array) => cells.reduce((sum, value) => sum + value, 0);
    expect(total(foretell(predictor, past, 64)) / total(past.now.cells)).toBeCloseTo(1, 12);
  });

  test('lets a map that fluctuates return to its climatology', () => {
    const random = createRandom(12);
    const mean = Float64Array.from({ length: SIDE * SIDE }, () => 10 * random.normal());
    let deviation = mean.map(() => random.normal());
    const maps = Array.from({ length: 200 }, () => {
      deviation = deviation.map((value) => 0.6 * value + 0.8 * random.normal());
      return mean.map((value, at) => value + deviation[at]!);
    });
    const predictor = createSpectral(shape('NEUMANN'), { mean: () => mean, span: () => 200 });
    const past = teach(predictor, 200, (at) => maps[at]!);
    expect(predictor.state().decaying.law.kappa).toBeGreaterThan(0.2);
    const far = foretell(predictor, past, 64);
    expect(relativeError(far, mean)).toBeLessThan(0.05);
  });
});

describe('dmd', () => {
  test('foretells a standing wave, which has no local law, twenty windows ahead', () => {
    const field = cellsOf(
      (row, col, t) => 7 + Math.cos(0.7 * t) * Math.sin(row) + Math.sin(0.4 * t) * Math.cos(col),
    );
    const predictor = createDmd(SIDE * SIDE);
    const past = teach(predictor, 40, field);
    expect(relativeError(foretell(predictor, past, 20), field(59))).toBeLessThan(0.01);
  });

  test('a growing wave is held back over a roll-out, however long', () => {
    const pattern = (row: number, col: number) => Math.sin(row + 2 * col);
    const predictor = createDmd(SIDE * SIDE);
    const past = teach(
      predictor,
      20,
      cellsOf((row, col, t) => 1.3 ** t * pattern(row, col)),
    );
    const length = (cells: Float64Array) => Math.hypot(...cells);
    expect(length(foretell(predictor, past, 1)) / length(past.now.cells)).toBeCloseTo(1.3, 3);
    // The eigenvalues are held; the constant part of the law adds some. Unbounded it would be 2.5e11 in 100 windows.
    for (const horizon of [10, 100])
      expect(length(foretell(predictor, past, horizon))).toBeLessThan(3 * length(past.now.cells));
  });
});

describe('dmd and stencil', () => {
  test('persist where only noise was seen, rather than follow what does not come again', () => {
    const random = createRandom(21);
    const maps = Array.from({ length: 12 }, () => zeros().map(() => random.normal()));
    const predictor = createDmd(SIDE * SIDE);
    const past = teach(predictor, 12, (at) => maps[at]!);
    // A law through 12 maps could pass through all of them; what it foretells would be as far off as any map.
    const told = foretell(predictor, past, 16);
    const far = told.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    expect(far).toBeLessThan(2 * past.now.cells.reduce((most, value) => Math.max(most, Math.abs(value)), 0));
  });

  test('a stencil does not carry cells away that were never observed, nor the others with them', () => {
    const random = createRandom(22);
    const observed = Uint8Array.from({ length: SIDE * SIDE }, (_, at) => (at < 3 * SIDE ? 0 : 1));
    const maps = Array.from({ length: 40 }, () =>
      zeros().map((_, at) => (observed[at] === 1 ? 50 + random.normal() : 0)),
    );
    const predictor = createStencil(shape('NEUMANN'));
    const moment = (at: number) => ({ ...mapAt(at, SIDE, () => 0), cells: maps[at]!, observed });
    const past = (at: number): Past => ({ now: moment(at), before: moment(at - 1), earlier: undefined });
    for (let at = 1; at < 40; at++) runThrough(predictor.learn(past(at)));
    const told = foretell(predictor, past(39), 64);
    for (const [at, value] of told.entries()) {
      if (observed[at] === 0) expect(value).toBe(0);
      else expect(Math.abs(value - 50)).toBeLessThan(5);
    }
  });
});

describe('climatology', () => {
  const predict = (field: (at: number) => number) => {
    const climatology = createClimatology(SIDE * SIDE);
    const past = teach(climatology, 200, (at) => zeros().fill(field(at)));
    return { told: foretell(climatology, past, 1)[0]!, span: climatology.span() };
  };

  test('remembers as long as serves it: all of what fluctuates, little of what wanders', () => {
    const random = createRandom(23);
    const noise = Array.from({ length: 200 }, () => random.normal());
    const still = predict((at) => noise[at]!);
    expect(still.span).toBeGreaterThan(90);
    expect(Math.abs(still.told)).toBeLessThan(0.5);
    const ramp = predict((at) => at);
    expect(ramp.span).toBeLessThan(6);
    expect(ramp.told).toBeGreaterThan(190);
  });
});

describe('stencil', () => {
  test.each(['PERIODIC', 'NEUMANN', 'DIRICHLET'] as const)(
    'learns the heat equation up to a %s edge',
    (boundary) => {
      const random = createRandom(6);
      let cells = Float64Array.from({ length: SIDE * SIDE }, () => random.normal());
      const at = (values: Float64Array, row: number, col: number): number => {
        const inside = row >= 0 && row < SIDE && col >= 0 && col < SIDE;
        if (boundary === 'DIRICHLET') return inside ? values[row * SIDE + col]! : 0;
        const place = (i: number) =>
          boundary === 'PERIODIC' ? (i + SIDE) % SIDE : Math.min(SIDE - 1, Math.max(0, i));
        return values[place(row) * SIDE + place(col)]!;
      };
      const step = (before: Float64Array) =>
        before.map((value, i) => {
          const [row, col] = [Math.floor(i / SIDE), i % SIDE];
          const around = at(before, row - 1, col) + at(before, row + 1, col) + at(before, row, col - 1);
          return value + 0.1 * (around + at(before, row, col + 1) - 4 * value);
        });
      const maps = Array.from({ length: 31 }, () => {
        // Fresh noise keeps every wave alive.
        cells = step(cells).map((value) => value + 0.1 * random.normal());
        return cells;
      });
      const predictor = createStencil(shape(boundary));
      const past = teach(predictor, 30, (nth) => maps[nth]!);
      const told = foretell(predictor, past, 1);
      const lawful = step(past.now.cells);
      expect(relativeError(told, lawful)).toBeLessThan(0.2 * relativeError(past.now.cells, lawful));
    },
  );
});
