/** Every check of a proof by example: passed, failed, and with nothing to check. */
import { describe, expect, test } from '@jest/globals';
import type { MapField } from '../../../src/energy/map/state.ts';
import type { CheckKind } from '../../../src/energy/proof/check.ts';
import {
  type Budget,
  createInstruments,
  type Evidence,
  measureSteps,
} from '../../../src/energy/proof/measure.ts';
import { runThrough } from '../../../src/numeric/slices.ts';

const instruments = createInstruments();

function field(cells: readonly number[], over: Partial<MapField> = {}): MapField {
  const side = Math.sqrt(cells.length);
  return {
    rows: side,
    cols: side,
    cells: Float64Array.from(cells),
    observed: undefined,
    cellArea: 1,
    spacing: 1,
    boundary: 'PERIODIC',
    ...over,
  };
}

const grid = (...cells: number[]) => Float64Array.from(cells);
const observed = field([1, 2, 3, 4]);

function measure(evidence: Partial<Evidence>) {
  return runThrough(measureSteps({ observed, ...evidence }, instruments));
}

function check(kind: CheckKind, evidence: Partial<Evidence>) {
  return measure(evidence).checks.find((one) => one.kind === kind)!;
}

function budget(before: Float64Array, over: Partial<Budget> = {}): Budget {
  return {
    before,
    rule: 'CONSERVATIVE',
    dt: 1,
    sources: 0,
    sinks: 0,
    boundaryFlux: undefined,
    flows: undefined,
    ...over,
  };
}

test('checks come in the order of the contract, and without anything said none applies', () => {
  const { checks, faults } = measure({});
  expect(checks.map(({ kind }) => kind)).toEqual([
    'ENERGY_BUDGET',
    'ENTROPY_PRODUCTION',
    'SPECTRUM',
    'POINTWISE',
    'INTERVAL',
    'BOUNDS',
    'SMOOTHNESS',
    'BOUNDARY_FLUX',
    'REGIME',
  ]);
  expect(new Set(checks.map(({ outcome }) => outcome))).toEqual(new Set(['NOT_APPLICABLE']));
  expect(checks.every(({ value, detail }) => value === 0 && detail === '')).toBe(true);
  expect(checks.map(({ weight }) => weight)).toEqual([3, 1, 2, 3, 1, 1, 1, 1, 3]);
  expect(checks.map(({ threshold }) => threshold)).toEqual([
    1e-3,
    3,
    0.5,
    0.5,
    0.1,
    0,
    Math.log(4),
    0.01,
    0.5,
  ]);
  expect(faults).toEqual([]);
});

describe('ENERGY_BUDGET', () => {
  test('is what the budget leaves over, by scale', () => {
    expect(check('ENERGY_BUDGET', { budget: budget(grid(4, 3, 2, 1)) })).toMatchObject({
      value: 0,
      outcome: 'PASS',
      detail: '',
    });
    const gained = check('ENERGY_BUDGET', { budget: budget(grid(1, 2, 3, 3.5)) });
    expect(gained).toMatchObject({ outcome: 'FAIL', detail: '0.5 appeared' });
    expect(gained.value).toBe(0.05);
    const lost = check('ENERGY_BUDGET', { budget: budget(grid(1, 2, 3, 5)) });
    expect(lost).toMatchObject({ outcome: 'FAIL', detail: '1 vanished' });
  });

  test('counts what is declared, and of a dissipative budget only what appeared', () => {
    const before = grid(1, 2, 3, 3);
    const driven = budget(before, { rule: 'DRIVEN', dt: 2, sources: 1, sinks: 0.75, boundaryFlux: 0.25 });
    expect(check('ENERGY_BUDGET', { budget: driven }).value).toBe(0);
    const dissipative = (cells: Float64Array) => budget(cells, { rule: 'DISSIPATIVE' });
    expect(check('ENERGY_BUDGET', { budget: dissipative(grid(9, 9, 9, 9)) }).value).toBe(0);
    expect(check('ENERGY_BUDGET', { budget: dissipative(before) }).outcome).toBe('FAIL');
  });

  test('holds the total that is claimed, in cell areas, to the map', () => {
    const wide = field([1, 2, 3, 4], { cellArea: 2 });
    expect(check('ENERGY_BUDGET', { observed: wide, claimedTotal: 20.01 })).toMatchObject({
      outcome: 'PASS',
    });
    expect(check('ENERGY_BUDGET', { observed: wide, claimedTotal: 10 })).toMatchObject({
      value: 0.5,
      outcome: 'FAIL',
      detail: 'the total is 20, not 10',
    });
    // A map without energy cannot have any claimed of it.
    const empty = field([0, 0, 0, 0]);
    expect(check('ENERGY_BUDGET', { observed: empty, claimedTotal: 0 }).outcome).toBe('PASS');
    expect(check('ENERGY_BUDGET', { observed: empty, claimedTotal: 1e-9 }).value).toBe(1);
  });

  test('holds every cell to what passed through it, where that is declared', () => {
    const before = grid(2, 2, 3, 3);
    const flows = { inflow: grid(0, 0, 0, 3), outflow: grid(1, 0, 0, 2) };
    expect(check('ENERGY_BUDGET', { budget: budget(before, { flows }) }).value).toBe(0);
    // The total is kept, yet energy went where nothing passed.
    const moved = check('ENERGY_BUDGET', { budget: budget(grid(2, 1, 4, 3), { flows }) });
    expect(moved).toMatchObject({ outcome: 'FAIL', detail: expect.stringMatching(/^cell 1 changed/) });
    const amiss = { inflow: grid(0, 0, 0, 3.1), outflow: grid(1, 0, 0, 2) };
    const off = check('ENERGY_BUDGET', { budget: budget(before, { flows: amiss }) });
    expect(off.value).toBeCloseTo(0.1 / 5.1, 6);
    const none = { inflow: grid(0, 0, 0, 0), outflow: grid(0, 0, 0, 0) };
    expect(check('ENERGY_BUDGET', { budget: budget(before, { flows: none }) }).value).toBe(0);
  });

  test('forgives what rounding a cell to float32 hides, and no more', () => {
    const large = Math.fround(1e6 / 3);
    const next = large + 2 ** -5;
    const flows = { inflow: grid(1e-3, 0, 0, 0), outflow: grid(0, 0, 0, 0) };
    const of = (cell: number) =>
      check('ENERGY_BUDGET', {
        observed: field([cell, 0, 0, 0]),
        budget: budget(grid(large, 0, 0, 0), { rule: 'DRIVEN', sources: 1e-3, flows }),
      }).outcome;
    expect(of(large)).toBe('PASS');
    expect(of(next)).toBe('PASS');
    expect(of(large + 1)).toBe('FAIL');
  });

  test('cannot be passed by a flow that overflows, whatever the other cells say', () => {
    const flows = { inflow: grid(3e38, 0, 0, 1), outflow: grid(3e38, 0, 0, 0) };
    const off = check('ENERGY_BUDGET', {
      budget: budget(grid(1, 2, 3, 3), { rule: 'DRIVEN', dt: 1e300, flows }),
    });
    expect(off).toMatchObject({ value: 1e9, outcome: 'FAIL' });
  });

  test('takes the worst of all, and cannot be passed by overflow', () => {
    const both = check('ENERGY_BUDGET', { claimedTotal: 10, budget: budget(grid(1, 2, 3, 3)) });
    expect(both).toMatchObject({ value: 0.1, detail: '1 appeared' });
    const huge = field([3e38, 3e38, 3e38, 3e38], { cellArea: 1e300 });
    const overflown = check('ENERGY_BUDGET', {
      observed: huge,
      budget: budget(grid(3e38, 3e38, 3e38, 3e38)),
      claimedTotal: 1,
    });
    expect(overflown).toMatchObject({ value: 1e9, outcome: 'FAIL' });
  });
});

describe('ENTROPY_PRODUCTION', () => {
  test('is the fall of entropy in standard errors, in a conservative budget only', () => {
    const even = grid(2.5, 2.5, 2.5, 2.5);
    expect(check('ENTROPY_PRODUCTION', { budget: budget(grid(0, 0, 1, 9)) })).toMatchObject({
      value: 0,
      outcome: 'PASS',
    });
    const gathered = check('ENTROPY_PRODUCTION', {
      observed: field([0, 0, 0, 10]),
      budget: budget(even),
    });
    expect(gathered).toMatchObject({
      value: 1e9,
      outcome: 'FAIL',
      detail: 'entropy fell by 1.3862943601198905 nats',
    });
    // S = 1.279854; a standard error is sqrt((sum p ln^2 p - S^2) / 4) = 0.21268.
    const uneven = check('ENTROPY_PRODUCTION', { budget: budget(even) });
    expect(uneven.value).toBeCloseTo((Math.log(4) - 1.279854) / 0.21268, 3);
    expect(uneven.outcome).toBe('PASS');
    for (const rule of ['DISSIPATIVE', 'DRIVEN'] as const)
      expect(check('ENTROPY_PRODUCTION', { budget: budget(even, { rule }) }).outcome).toBe('NOT_APPLICABLE');
    expect(check('ENTROPY_PRODUCTION', { budget: budget(grid(0, 0, 0, 0)) }).outcome).toBe('NOT_APPLICABLE');
  });
});

describe('SPECTRUM', () => {
  const waves = (...sizes: readonly number[]) =>
    Float64Array.from({ length: 64 }, (_, at) =>
      sizes.reduce((sum, size, k) => sum + size * Math.cos((2 * Math.PI * (k + 1) * (at % 8)) / 8 + k), 0),
    );
  const seen = (cells: Float64Array) => ({ observed: field([...cells]) });

  test('is the distance of logarithms of power over shells, whatever the phases', () => {
    const map = waves(3, 1, 0.5);
    const shifted = map.map((_, at) => map[(at & ~7) + ((at + 3) % 8)]!);
    expect(check('SPECTRUM', { ...seen(map), predicted: shifted }).value).toBeCloseTo(0, 9);
    // Shell 2 of six has a quarter of the power, the others what they had.
    const dimmed = check('SPECTRUM', { ...seen(map), predicted: waves(3, 0.5, 0.5) });
    expect(dimmed.value).toBeCloseTo(Math.log(4) / Math.sqrt(6), 6);
    expect(dimmed.outcome).toBe('FAIL');
    expect(check('SPECTRUM', { ...seen(map), predicted: waves(3, 0.9, 0.5) }).outcome).toBe('PASS');
    // What one map lacks altogether counts as 1e-9 of the whole.
    const lacking = check('SPECTRUM', { ...seen(map), predicted: waves(3, 1) });
    const power = (cells: Float64Array) => cells.reduce((sum, value) => sum + value * value, 0);
    const share = power(waves(0, 0, 0.5)) / power(map);
    expect(lacking.value).toBeCloseTo(Math.log(share / 1e-9) / Math.sqrt(6), 6);
  });

  test('does not look at the mean, and finds nothing to tell constant maps apart by', () => {
    const map = waves(1, 1);
    expect(check('SPECTRUM', { ...seen(map), predicted: map.map((x) => x + 1) }).value).toBeCloseTo(0, 9);
    const flat = new Float64Array(64).fill(5);
    expect(check('SPECTRUM', { ...seen(flat), predicted: flat.slice() })).toMatchObject({ value: 0 });
    expect(check('SPECTRUM', { ...seen(flat.fill(0)), predicted: flat.slice() })).toMatchObject({ value: 0 });
  });

  test('goes with a prediction of more than one cell', () => {
    const one = { observed: field([1]), predicted: grid(1) };
    expect(check('SPECTRUM', one).outcome).toBe('NOT_APPLICABLE');
    expect(check('SPECTRUM', { budget: budget(grid(1, 2, 3, 4)) }).outcome).toBe('NOT_APPLICABLE');
  });

  test.each([
    [3, 5],
    [7, 1],
    [1, 12],
    [14, 9],
  ])('a map of %i x %i is as a plain Fourier transform says', (rows, cols) => {
    const make = (seed: number) =>
      Float64Array.from({ length: rows * cols }, (_, at) => Math.sin(seed * (at + 1) ** 2));
    const [told, map] = [make(1.7), make(2.3)];
    const shape = { observed: field([...map], { rows, cols }), predicted: told };
    expect(check('SPECTRUM', shape).value).toBeCloseTo(plainDistance(told, map, rows, cols), 9);
  });
});

/** The distance by its definition. */
function plainDistance(told: Float64Array, seen: Float64Array, rows: number, cols: number): number {
  const longer = Math.max(rows, cols);
  const shells = new Map<number, [number, number]>();
  const power = (cells: Float64Array, i: number, j: number) => {
    let [re, im] = [0, 0];
    for (let at = 0; at < cells.length; at++) {
      const angle = 2 * Math.PI * ((i * Math.floor(at / cols)) / rows + (j * (at % cols)) / cols);
      re += cells[at]! * Math.cos(angle);
      im += cells[at]! * Math.sin(angle);
    }
    return re * re + im * im;
  };
  const whole = [0, 0];
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < cols; j++) {
      const pair = [power(told, i, j), power(seen, i, j)] as const;
      const shell = Math.round(
        longer * Math.hypot(Math.min(i, rows - i) / rows, Math.min(j, cols - j) / cols),
      );
      const sum = shells.get(shell) ?? [0, 0];
      shells.set(shell, [sum[0] + pair[0], sum[1] + pair[1]]);
      whole[0]! += pair[0];
      whole[1]! += pair[1];
    }
  shells.delete(0);
  const floor = 1e-9 * Math.max(...whole);
  const squares = [...shells.values()].map(
    ([a, b]) => Math.log(Math.max(a, floor) / Math.max(b, floor)) ** 2,
  );
  return Math.sqrt(squares.reduce((sum, square) => sum + square, 0) / squares.length);
}

describe('POINTWISE', () => {
  test('is the VRMSE against the threshold of the stream, held to 0.05..0.5', () => {
    const predicted = grid(1.5, 2, 3, 4);
    const value = Math.sqrt(0.0625 / (1.25 + 1e-7));
    expect(check('POINTWISE', { predicted }).value).toBeCloseTo(value, 12);
    const at = (pointwiseMax: number | undefined) => {
      const { threshold, outcome } = check('POINTWISE', { predicted, pointwiseMax });
      return `${threshold} ${outcome}`;
    };
    expect(at(undefined)).toBe('0.5 PASS');
    expect(at(3)).toBe('0.5 PASS');
    expect(at(0.3)).toBe('0.3 PASS');
    expect(at(0.2)).toBe('0.2 FAIL');
    expect(at(1e-9)).toBe('0.05 FAIL');
    expect(check('POINTWISE', {}).outcome).toBe('NOT_APPLICABLE');
  });

  test('is as large in any unit', () => {
    const share = 1e-9;
    const small = { observed: field([1, 2, 3, 4].map((x) => x * share)), predicted: grid(4, 3, 2, 1) };
    expect(
      check('POINTWISE', { ...small, predicted: small.predicted.map((x) => x * share) }).value,
    ).toBeCloseTo(2, 5);
    expect(check('POINTWISE', { predicted: grid(4, 3, 2, 1) }).value).toBeCloseTo(2, 5);
  });

  test('of an even map is 0 for itself alone', () => {
    const even = { observed: field([0, 0, 0, 0]) };
    expect(check('POINTWISE', { ...even, predicted: grid(0, 0, 0, 0) }).value).toBe(0);
    expect(check('POINTWISE', { ...even, predicted: grid(0, 0, 0, 1e-30) }).value).toBe(1e9);
  });

  test('leaves out cells that were not observed, and there may be none', () => {
    const masked = field([1, 2, 3, 99], { observed: Uint8Array.of(1, 1, 1, 0) });
    const predicted = grid(1, 2, 3, 4);
    expect(check('POINTWISE', { observed: masked, predicted }).value).toBe(0);
    expect(check('SPECTRUM', { observed: masked, predicted }).value).toBeCloseTo(0, 9);
    expect(check('SMOOTHNESS', { observed: masked, predicted }).value).toBe(0);
    expect(check('BOUNDS', { observed: masked, bounds: { least: 1, greatest: 3 } }).outcome).toBe('PASS');
  });
});

test('a map of which nothing was observed is not checked, but for the total claimed of it', () => {
  const predicted = grid(1, 2, 3, 4);
  const flows = { inflow: grid(1, 1, 1, 1), outflow: grid(0, 0, 0, 0) };
  const blind: Partial<Evidence> = {
    observed: field([1, 2, 3, 4], { observed: new Uint8Array(4) }),
    predicted,
    bounds: { least: 9, greatest: 9 },
    budget: budget(grid(9, 9, 9, 9), { boundaryFlux: 0, flows }),
    interval: { lower: predicted, upper: predicted, coverage: 0.9 },
    probability: 1,
  };
  const { checks } = measure(blind);
  expect(new Set(checks.map(({ outcome }) => outcome))).toEqual(new Set(['NOT_APPLICABLE']));
  expect(check('ENERGY_BUDGET', { ...blind, claimedTotal: 1 }).outcome).toBe('FAIL');
});

test('a map that takes several slices is measured like any other, also while another is', () => {
  const side = 256;
  const cells = Float64Array.from({ length: side * side }, (_, at) => 5 + Math.sin(at * at));
  const mask = Uint8Array.from(cells, (_, at) => (at % 7 === 0 ? 0 : 1));
  const shape = { rows: side, cols: side };
  const evidence = (shift: number): Evidence => ({
    observed: field([...cells], { ...shape, observed: mask }),
    predicted: cells.map((cell, at) => (mask[at] === 0 ? 1e6 : cell + shift * Math.cos(at))),
    bounds: { least: 4, greatest: 6 },
  });
  const alone = [0, 0.1].map((shift) => runThrough(measureSteps(evidence(shift), createInstruments())));
  const both = [0, 0.1].map((shift) => measureSteps(evidence(shift), instruments));
  const done: unknown[] = [];
  while (done.filter(Boolean).length < both.length)
    for (const [at, steps] of both.entries()) {
      const step = done[at] ? undefined : steps.next();
      if (step?.done) done[at] = step.value;
    }
  expect(done).toEqual(alone);
  for (const { value } of alone[0]!.checks) expect(value).toBeCloseTo(0, 9);
  expect(alone[1]!.checks.find(({ kind }) => kind === 'POINTWISE')!.value).toBeCloseTo(0.1, 2);
}, 20_000);

test('INTERVAL is how far the share of cells inside is from the one stated', () => {
  const predicted = grid(1, 2, 3, 4);
  const interval = (lower: Float64Array, upper: Float64Array, coverage: number) => ({
    predicted,
    interval: { lower, upper, coverage },
  });
  const all = interval(grid(1, 2, 3, 4), grid(1, 2, 3, 4), 0.9);
  expect(check('INTERVAL', all)).toMatchObject({ outcome: 'PASS' });
  expect(check('INTERVAL', all).value).toBeCloseTo(0.1, 12);
  const half = check('INTERVAL', interval(grid(2, 2, 2, 2), grid(3, 3, 3, 3), 0.9));
  expect(half).toMatchObject({
    value: 0.4,
    outcome: 'FAIL',
    detail: 'the interval holds 0.5 of the cells, not 0.9',
  });
  for (const end of [Number.POSITIVE_INFINITY, 3.4028234663852886e38]) {
    const unknown = interval(grid(0, 0, 0, -end), grid(9, 9, 9, end), 0.9);
    expect(check('INTERVAL', unknown).outcome).toBe('NOT_APPLICABLE');
  }
  expect(check('INTERVAL', { predicted }).outcome).toBe('NOT_APPLICABLE');
});

test('BOUNDS is the share of cells outside', () => {
  expect(check('BOUNDS', { bounds: { least: 1, greatest: 4 } })).toMatchObject({ value: 0, outcome: 'PASS' });
  expect(check('BOUNDS', { bounds: { least: 1.5, greatest: Number.POSITIVE_INFINITY } })).toMatchObject({
    value: 0.25,
    outcome: 'FAIL',
    detail: '1 of 4 cells are beyond the bounds',
  });
});

test('SMOOTHNESS is the logarithm of how much steeper, or less steep, the map is than the other', () => {
  const steep = (factor: number) =>
    Float64Array.from({ length: 64 }, (_, at) => factor * Math.sin((at % 8) + at));
  const map = { observed: field([...steep(1)]) };
  expect(check('SMOOTHNESS', { ...map, predicted: steep(2) }).value).toBeCloseTo(Math.log(2), 6);
  expect(check('SMOOTHNESS', { ...map, predicted: steep(0.5) }).outcome).toBe('PASS');
  expect(check('SMOOTHNESS', { ...map, budget: budget(steep(8)) })).toMatchObject({ outcome: 'FAIL' });
  // The map predicted counts, where there are both.
  expect(check('SMOOTHNESS', { ...map, predicted: steep(1), budget: budget(steep(8)) }).value).toBe(0);
  const flat = new Float64Array(64);
  expect(check('SMOOTHNESS', { ...map, predicted: flat })).toMatchObject({ value: 1e9, outcome: 'FAIL' });
  expect(check('SMOOTHNESS', { observed: field([...flat]), predicted: flat }).value).toBe(0);
});

test('BOUNDARY_FLUX is what the maps leave for the boundary, where a flux is declared', () => {
  const before = grid(1, 2, 3, 3);
  const declared = (boundaryFlux: number) => ({ budget: budget(before, { rule: 'DRIVEN', boundaryFlux }) });
  expect(check('BOUNDARY_FLUX', declared(1))).toMatchObject({ value: 0, outcome: 'PASS' });
  expect(check('BOUNDARY_FLUX', declared(0.95))).toMatchObject({ outcome: 'PASS' });
  expect(check('ENERGY_BUDGET', declared(0.95))).toMatchObject({ outcome: 'FAIL' });
  expect(check('BOUNDARY_FLUX', declared(0.5))).toMatchObject({
    value: 0.05,
    outcome: 'FAIL',
    detail: expect.stringMatching(/^0\.5 is not/),
  });
  expect(check('BOUNDARY_FLUX', { budget: budget(before) }).outcome).toBe('NOT_APPLICABLE');
});

test('REGIME is how improbable the regime claimed is', () => {
  expect(check('REGIME', { probability: 0.75 })).toMatchObject({ value: 0.25, outcome: 'PASS' });
  expect(check('REGIME', { probability: 0.5 }).outcome).toBe('PASS');
  expect(check('REGIME', { probability: 0.4 })).toMatchObject({
    outcome: 'FAIL',
    detail: 'another regime is more probable',
  });
});

test('an entropy the map does not have is a fault of what is said of it', () => {
  expect(measure({ claimedEntropy: 1.279854 }).faults).toEqual([]);
  expect(measure({ claimedEntropy: 1.27 }).faults).toEqual([
    expect.stringMatching(/^the entropy is 1\.2798\d* nats, not 1\.27$/),
  ]);
  expect(measure({ observed: field([0, 0, 0, 0]), claimedEntropy: 0 }).faults).toEqual([
    'the map has no entropy',
  ]);
});
