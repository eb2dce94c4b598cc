/** ComputeState and CheckConservation on maps handed in: replies, refusals with their paths, large maps. */
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { describe, expect, test } from '@jest/globals';
import { systemClock } from '../../../src/clock.ts';
import { createComputeHandlers } from '../../../src/energy/map/service.ts';
import { AppError } from '../../../src/errors.ts';
import {
  BudgetMode,
  CheckConservationRequestSchema,
  ComputeStateRequestSchema,
  EntropyUnit,
  GradientKind,
} from '../../../src/gen/homeostat/energy/v1/energy_service_pb.ts';
import { Boundary, MapInputSchema, NegativePolicy } from '../../../src/gen/homeostat/type/v1/grid_pb.ts';
import { createRandom } from '../../../src/random.ts';
import type { Call } from '../../../src/rpc/handler.ts';
import { callOf } from '../../support/calls.ts';

const handlers = createComputeHandlers({ clock: systemClock, sliceMs: 4, sendBytesMax: 64 * 1024 * 1024 });
const call = callOf();

type MapInit = MessageInitShape<typeof MapInputSchema>;
type StateInit = MessageInitShape<typeof ComputeStateRequestSchema>;
type BudgetInit = MessageInitShape<typeof CheckConservationRequestSchema>;

const compute = async (request: StateInit, limits: { sendBytesMax?: number; call?: Call } = {}) => {
  const { computeState } = createComputeHandlers({
    clock: systemClock,
    sliceMs: 4,
    sendBytesMax: limits.sendBytesMax ?? 64 * 1024 * 1024,
  });
  return computeState(create(ComputeStateRequestSchema, request), limits.call ?? call);
};
const check = async (request: BudgetInit) =>
  handlers.checkConservation(create(CheckConservationRequestSchema, request), call);

const map = (rows: number, cols: number, values: number[], change: MapInit = {}): MapInit =>
  create(MapInputSchema, Object.assign({}, change, { grid: { rows, cols, values } }));
const raw = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);

async function refusal(answer: Promise<unknown>) {
  const error = await answer.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof AppError)) throw error ?? new Error('it was not refused');
  return {
    reason: error.reason,
    fields: error.violations.map(({ field }) => field),
    metadata: error.metadata,
    message: error.message,
  };
}

describe('ComputeState', () => {
  test('answers with state, digest, weights and slope', async () => {
    const answer = await compute({
      map: map(2, 2, [1, 2, 3, 4]),
      includeWeights: true,
      includeGradient: true,
    });
    expect(answer.state).toMatchObject({
      net: 10,
      positive: 10,
      negative: 0,
      mean: 2.5,
      variance: 1.25,
      observedCount: 4,
      entropyUnit: EntropyUnit.NATS,
      negativePolicy: NegativePolicy.SIGNED,
    });
    expect(answer.state!.spatialEntropy).toBeCloseTo(1.279854, 6);
    expect(answer.state!.spatialEntropyRatio).toBeCloseTo(1.279854 / Math.log(4), 6);
    expect(Buffer.from(answer.digest!).toString('hex')).toBe(
      '7e0ae13ac17da554438d2af7008b181cc214643fd19bdafd76ccb3c3da32c86b',
    );
    expect(answer.weights!.values!.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12);
    expect(answer.gradientRow!.values).toEqual([1, 1, 1, 1]);
    expect(answer.gradientCol!.values).toEqual([0.5, 0.5, 0.5, 0.5]);
    expect(answer.gradientMagnitude!.values![0]).toBeCloseTo(Math.sqrt(1.25), 12);
  });

  test('leaves out what was not asked for, and what does not exist', async () => {
    const answer = await compute({ map: map(1, 1, [0]) });
    expect([answer.weights, answer.gradientRow]).toEqual([undefined, undefined]);
    expect(answer.state!.spatialEntropy).toBeUndefined();
    expect(answer.state!.spatialEntropyRatio).toBeUndefined();
    const single = await compute({ map: map(1, 1, [5]) });
    expect([single.state!.spatialEntropy, single.state!.spatialEntropyRatio]).toEqual([0, undefined]);
    const nothing = await compute({ map: map(1, 2, [5, 6], { observed: Uint8Array.of(0) }) });
    expect([nothing.state!.observedCount, nothing.state!.boltzmann]).toEqual([0, undefined]);
  });

  test('replies in the encoding of the request', async () => {
    const answer = await compute({
      map: { grid: { rows: 1, cols: 2, rawValues: raw(1, 1) } },
      includeWeights: true,
    });
    expect([...new Float32Array(answer.weights!.rawValues!.slice().buffer)]).toEqual([0.5, 0.5]);
    expect(answer.weights!.values).toEqual([]);
    const plain = await compute({ map: map(1, 2, [1, 1]), includeWeights: true });
    expect(plain.digest).toEqual(answer.digest);
    expect(plain.weights!.values).toEqual([0.5, 0.5]);
  });

  test('the same map gives the same bits, in either encoding', async () => {
    const random = createRandom(1);
    const values = Array.from({ length: 35 }, () => Math.fround(random.normal()));
    const request = { includeWeights: true, temperature: 0.7, gradient: GradientKind.CENTRAL4 };
    const one = await compute({ ...request, map: map(5, 7, values) });
    const two = await compute({ ...request, map: map(5, 7, values) });
    const three = await compute({
      ...request,
      map: { grid: { rows: 5, cols: 7, rawValues: raw(...values) } },
    });
    expect(two).toEqual(one);
    expect(three.state).toEqual(one.state);
  });

  test('raw values are read from wherever in a shared buffer they lie', async () => {
    const shared = Buffer.concat([Buffer.alloc(3, 7), raw(1, 2, 3), Buffer.alloc(5, 7)]);
    const answer = await compute({ map: { grid: { rows: 1, cols: 3, rawValues: shared.subarray(3, 15) } } });
    expect(answer.state).toMatchObject({ net: 6, min: 1, max: 3 });
  });

  test('honors every option: temperature, bins and edges, unit, area, spacing, boundary, policy', async () => {
    const values = [0, 1, 2, -3];
    const plain = (await compute({ map: map(2, 2, values) })).state!;
    const state = async (request: StateInit, input: MapInit = {}) =>
      (await compute(Object.assign({}, request, { map: map(2, 2, values, input) }))).state!;
    expect((await state({ temperature: 2 })).boltzmann!.temperature).toBe(2);
    expect((await state({ bins: 2 })).valueEntropy).not.toBe(plain.valueEntropy);
    expect((await state({ binEdges: [10, 20] })).valueEntropy).toBe(0);
    const bits = await state({ entropyUnit: EntropyUnit.BITS });
    expect(bits.spatialEntropy! * Math.LN2).toBeCloseTo(plain.spatialEntropy!, 12);
    expect(bits.boltzmann!.entropy! * Math.LN2).toBeCloseTo(plain.boltzmann!.entropy!, 12);
    expect(bits.spatialEntropyRatio).toBe(plain.spatialEntropyRatio);
    expect((await state({}, { cellArea: 3 })).negative).toBe(-9);
    expect((await state({}, { spacing: 2 })).gradientMax! * 2).toBeCloseTo(plain.gradientMax!, 12);
    expect((await state({}, { boundary: Boundary.PERIODIC })).gradientMax).toBe(0);
    expect((await state({}, { negativePolicy: NegativePolicy.ABSOLUTE })).net).toBe(6);
    expect((await state({}, { negativePolicy: NegativePolicy.SHIFT_TO_MIN })).net).toBe(12);
    expect((await state({ gradient: GradientKind.CENTRAL2 })).gradientMax).not.toBe(plain.gradientMax);
  });

  test('an unobserved cell counts for nothing, a filler as a neighbor aside', async () => {
    const observed = Uint8Array.of(0b1011);
    const answer = await compute({ map: map(2, 2, [1, 2, 99, 4], { observed }), includeWeights: true });
    expect(answer.state).toMatchObject({ net: 7, observedCount: 3, max: 4 });
    expect(answer.weights!.values![2]).toBe(0);
  });

  const broken: [string, StateInit, string][] = [
    ['no grid', { map: {} }, 'map.grid'],
    ['neither encoding', { map: { grid: { rows: 1, cols: 1 } } }, 'map.grid'],
    ['both encodings', { map: { grid: { rows: 1, cols: 1, values: [1], rawValues: raw(1) } } }, 'map.grid'],
    ['too few values', { map: map(2, 2, [1, 2, 3]) }, 'map.grid.values'],
    ['too many values', { map: map(1, 2, [1, 2, 3]) }, 'map.grid.values'],
    ['too few bytes', { map: { grid: { rows: 1, cols: 2, rawValues: raw(1) } } }, 'map.grid.raw_values'],
    ['a NaN among values', { map: map(1, 2, [1, Number.NaN]) }, 'map.grid.values[1]'],
    [
      'a NaN among bytes',
      { map: { grid: { rows: 1, cols: 1, rawValues: raw(Number.NaN) } } },
      'map.grid.raw_values',
    ],
    ['an infinite cell', { map: map(1, 1, [Number.POSITIVE_INFINITY]) }, 'map.grid.values[0]'],
    ['no rows', { map: map(0, 1, []) }, 'map.grid.rows'],
    ['too many columns', { map: map(1, 1025, []) }, 'map.grid.cols'],
    [
      'a short mask',
      { map: map(3, 3, new Array(9).fill(1), { observed: Uint8Array.of(1) }) },
      'map.observed',
    ],
    ['a long mask', { map: map(1, 1, [1], { observed: Uint8Array.of(1, 0) }) }, 'map.observed'],
    ['a unit that maps do not have', { map: map(1, 1, [1], { unit: 'kW' }) }, 'map.unit'],
    ['joules beyond a map', { map: map(1, 2, [1, 1e36], { unit: 'kJ' }) }, 'map.grid'],
    ['a single edge', { map: map(1, 1, [1]), binEdges: [1] }, 'bin_edges'],
    ['falling edges', { map: map(1, 1, [1]), binEdges: [2, 1] }, 'bin_edges'],
    ['a state out of range', { map: map(1, 2, [3e38, 1], { cellArea: 1e300 }) }, 'map'],
    ['a temperature that leaves the range', { map: map(1, 1, [3e38]), temperature: 1e-300 }, 'map'],
  ];
  test.each(broken)('%s is refused with its path', async (_, request, field) => {
    expect(await refusal(compute(request))).toMatchObject({ reason: 'FIELD_INVALID', fields: [field] });
  });

  test('several faults are named together', async () => {
    const faults = compute({ map: map(2, 2, [1], { observed: Uint8Array.of(1, 1) }), binEdges: [1] });
    expect((await refusal(faults)).fields).toEqual(['map.grid.values', 'map.observed', 'bin_edges']);
  });

  test('a negative cell under REJECT is refused and named', async () => {
    const negative = compute({ map: map(1, 3, [1, 2, -1], { negativePolicy: NegativePolicy.REJECT }) });
    expect(await refusal(negative)).toMatchObject({ reason: 'NEGATIVE_ENERGY', metadata: { cell: '2' } });
  });

  test('a reply over the send limit is refused before anything is computed', async () => {
    const request = {
      map: map(64, 64, new Array(4096).fill(1)),
      includeWeights: true,
      includeGradient: true,
    };
    expect(await refusal(compute(request, { sendBytesMax: 60_000 }))).toMatchObject({
      reason: 'WORK_TOO_LARGE',
      metadata: { limit: '60000', asked: String(4096 + 16 * 4096), unit: 'bytes' },
      message: `${4096 + 16 * 4096} bytes were asked for, which is over 60000`,
    });
  });

  test('cells are converted to joules from the unit given, and the digest stays that of the grid as given', async () => {
    const values = [1, 2, -3, 4];
    const asked = { includeWeights: true, temperature: 2, bins: 8 };
    const plain = await compute({ ...asked, map: map(2, 2, values) });
    for (const [unit, factor] of [
      ['J', 1],
      ['kJ', 1e3],
      ['MJ', 1e6],
      ['Wh', 3600],
      ['kWh', 3.6e6],
      ['MWh', 3.6e9],
      ['1', 1],
    ] as const) {
      const converted = await compute({
        ...asked,
        temperature: 2 * factor,
        map: map(2, 2, values, { unit }),
      });
      const { state } = converted;
      for (const name of ['positive', 'negative', 'net', 'absolute', 'mean', 'min', 'max'] as const)
        expect(state![name]! / plain.state![name]!).toBeCloseTo(factor, 12 - Math.ceil(Math.log10(factor)));
      expect(state!.spatialEntropy).toBeCloseTo(plain.state!.spatialEntropy!, 12);
      expect(converted.weights!.values![0]).toBeCloseTo(plain.weights!.values![0]!, 12);
      expect(converted.digest).toEqual(plain.digest);
    }
  });

  test('what is unset is as its default written out', async () => {
    const random = createRandom(5);
    const values = Array.from({ length: 30 }, () => random.normal());
    const output = { includeWeights: true, includeGradient: true };
    const unset = await compute({ ...output, map: map(5, 6, values) });
    const written = await compute({
      ...output,
      map: map(5, 6, values, {
        observed: Uint8Array.of(0xff, 0xff, 0xff, 0x3f),
        unit: 'J',
        cellArea: 1,
        spacing: 1,
        boundary: Boundary.NEUMANN,
        negativePolicy: NegativePolicy.SIGNED,
      }),
      temperature: 1,
      gradient: GradientKind.SOBEL,
      bins: 64,
      binEdges: [Math.min(...values.map(Math.fround)), Math.max(...values.map(Math.fround))],
      entropyUnit: EntropyUnit.NATS,
    });
    expect(written).toEqual(unset);
    const plain = await compute({ map: map(5, 6, values) });
    expect(await compute({ map: map(5, 6, values), includeWeights: false, includeGradient: false })).toEqual(
      plain,
    );
    expect([plain.weights, plain.gradientRow]).toEqual([undefined, undefined]);
  });

  test('a map of 1024 x 1024 lets the event loop turn, and a cancelled call ends', async () => {
    const side = 1024;
    const cells = Float32Array.from({ length: side * side }, (_, at) => Math.sin(at));
    const grid = { rows: side, cols: side, rawValues: new Uint8Array(cells.buffer) };
    const cancelled = callOf({ signal: AbortSignal.abort(new Error('cancelled')) });
    await expect(compute({ map: { grid } }, { call: cancelled })).rejects.toThrow('cancelled');
    let turns = 0;
    let ended = false;
    const turn = () => {
      turns++;
      if (!ended) setImmediate(turn);
    };
    setImmediate(turn);
    const { state } = await compute({ map: { grid } });
    ended = true;
    expect(state!.observedCount).toBe(side * side);
    expect(turns).toBeGreaterThan(5);
  });
});

describe('CheckConservation', () => {
  test('compares two maps of the same cells', async () => {
    expect(await check({ before: map(1, 2, [1, 2]), after: map(1, 2, [2, 1]) })).toEqual({
      passed: true,
      residualJoules: 0,
      toleranceJoules: 0.003,
      fidelity: 1,
      entropyChange: 0,
      reasons: [],
    });
    const doubled = await check({ before: map(1, 2, [1, 2]), after: map(1, 2, [2, 4]) });
    expect(doubled).toMatchObject({ passed: false, residualJoules: 3, fidelity: 0.5 });
    expect(doubled.reasons).toHaveLength(1);
  });

  test('weighs cells by their area and explains a change by declared power', async () => {
    const answer = await check({
      before: map(1, 1, [10], { cellArea: 2 }),
      after: map(1, 1, [16], { cellArea: 2 }),
      mode: BudgetMode.DRIVEN,
      sourcesWatts: 5,
      sinksWatts: 1,
      boundaryFluxWatts: 2,
      dtSeconds: 2,
    });
    expect(answer).toMatchObject({ passed: true, residualJoules: 0, fidelity: 1 });
  });

  test('energy.conservation is kept in joules, whatever energies the maps are in', async () => {
    const before = map(1, 2, [1, 2], { unit: 'kJ' });
    const gained = await check({
      before,
      after: map(1, 2, [2, 2], { unit: 'kJ' }),
      mode: BudgetMode.DRIVEN,
      sourcesWatts: 400,
      rtol: 0,
    });
    expect(gained).toMatchObject({ passed: false, residualJoules: 600, toleranceJoules: 0, fidelity: 0.85 });
    const same = await check({ before, after: map(1, 2, [2000, 1000]) });
    expect(same).toMatchObject({ passed: true, residualJoules: 0, toleranceJoules: 3 });
    const hour = await check({
      before: map(1, 1, [1], { unit: 'kWh' }),
      after: map(1, 1, [2000], { unit: 'Wh' }),
      mode: BudgetMode.DRIVEN,
      sourcesWatts: 1000,
      dtSeconds: 3600,
      rtol: 0,
    });
    expect(hour).toMatchObject({ passed: true, residualJoules: 0, fidelity: 1 });
  });

  test('the tolerances asked for hold', async () => {
    const maps = { before: map(1, 1, [100]), after: map(1, 1, [101]) };
    expect((await check(maps)).passed).toBe(false);
    expect((await check({ ...maps, rtol: 0.02 })).passed).toBe(true);
    expect((await check({ ...maps, atolJoules: 1 })).passed).toBe(true);
  });

  test('maps that differ in shape or mask are refused', async () => {
    expect(await refusal(check({ before: map(1, 2, [1, 2]), after: map(2, 1, [1, 2]) }))).toMatchObject({
      reason: 'SHAPE_MISMATCH',
      metadata: { before: '1x2 with 2 observed', after: '2x1 with 2 observed' },
    });
    const observed = Uint8Array.of(0b01);
    expect(
      await refusal(check({ before: map(1, 2, [1, 2]), after: map(1, 2, [1, 2], { observed }) })),
    ).toMatchObject({ reason: 'SHAPE_MISMATCH', metadata: { after: '1x2 with 1 observed' } });
  });

  test('sources in a conservative budget, unlike units and areas, and broken maps are refused with their paths', async () => {
    const maps = { before: map(1, 1, [1]), after: map(1, 1, [1]) };
    expect((await refusal(check({ ...maps, sourcesWatts: 1, boundaryFluxWatts: -1 }))).fields).toEqual([
      'sources_watts',
      'boundary_flux_watts',
    ]);
    for (const [before, after] of [
      ['1', 'kJ'],
      ['', '1'],
      ['Wh', '1'],
    ] as const) {
      const mixed = check({
        before: map(1, 1, [1], { unit: before }),
        after: map(1, 1, [1], { unit: after }),
      });
      expect((await refusal(mixed)).fields).toEqual(['after.unit']);
    }
    const wider = map(1, 1, [1], { cellArea: 2 });
    expect((await refusal(check({ ...maps, after: wider }))).fields).toEqual(['after.cell_area']);
    expect((await refusal(check({ ...maps, before: wider }))).fields).toEqual(['after.cell_area']);
    expect((await refusal(check({ before: {}, after: map(1, 2, [1]) }))).fields).toEqual([
      'before.grid',
      'after.grid.values',
    ]);
    const negative = { ...maps, after: map(1, 1, [-1], { negativePolicy: NegativePolicy.REJECT }) };
    expect((await refusal(check(negative))).reason).toBe('NEGATIVE_ENERGY');
  });
});
