/** Maps handed in to predictions and proofs: everything that goes with one is in its unit, and becomes joules with it. */
import { create } from '@bufbuild/protobuf';
import { describe, expect, test } from '@jest/globals';
import { readQuestion } from '../../../src/energy/forecast/question.ts';
import { readClaim, readPrediction } from '../../../src/energy/proof/request.ts';
import { AppError } from '../../../src/errors.ts';
import { BudgetMode, PredictRequestSchema } from '../../../src/gen/homeostat/energy/v1/energy_service_pb.ts';
import {
  ProveClaimRequestSchema,
  ProvePredictionRequestSchema,
} from '../../../src/gen/homeostat/energy/v1/proof_service_pb.ts';

const grid = (...values: number[]) => ({ rows: 1, cols: values.length, values });
const map = { grid: grid(1, 2), unit: 'kJ', cellArea: 2 };

/** The fields a request is refused for. */
function faults(read: () => unknown): string[] {
  try {
    read();
  } catch (error) {
    if (error instanceof AppError) return error.violations.map(({ field }) => field);
    throw error;
  }
  throw new Error('it was not refused');
}

describe('a map in kilojoules', () => {
  test('is predicted from a history in kilojoules, in joules', () => {
    const question = readQuestion(create(PredictRequestSchema, { map, history: [grid(3, 4), grid(5, 6)] }));
    expect([...question.map!.field.cells]).toEqual([1000, 2000]);
    expect(question.history.map((cells) => [...cells])).toEqual([
      [3000, 4000],
      [5000, 6000],
    ]);
  });

  test('is proven with its bounds, claimed total and earlier map in kilojoules; powers are watts', () => {
    const budget = {
      before: grid(1, 1),
      mode: BudgetMode.DRIVEN,
      sourcesWatts: 7,
      inflow: grid(1, 2),
      outflow: grid(0, 0),
    };
    const context = {
      capturedAt: {},
      bounds: { least: -1, greatest: 5 },
      claimedTotal: 6,
      claimedEntropy: 0.6,
      budget,
    };
    const told = readClaim(create(ProveClaimRequestSchema, { map, context }));
    expect([...told.map.field.cells]).toEqual([1000, 2000]);
    expect([...told.map.cells]).toEqual([1, 2]);
    expect(told.said).toEqual({
      bounds: { least: -1000, greatest: 5000 },
      claimedTotal: 6000,
      claimedEntropy: 0.6,
    });
    expect([...told.before!.cells]).toEqual([1, 1]);
    expect([...told.budget!.before]).toEqual([1000, 1000]);
    expect(told.budget!.sources).toBe(7);
    expect([...told.budget!.flows!.inflow]).toEqual([1, 2]);
    const open = { capturedAt: {}, bounds: { least: 0 } };
    const { bounds } = readClaim(create(ProveClaimRequestSchema, { map, context: open })).said;
    expect(bounds).toEqual({ least: 0, greatest: Number.POSITIVE_INFINITY });
  });

  test('is compared with a prediction in kilojoules', () => {
    const request = { observed: map, predicted: grid(2, 1), context: { capturedAt: {} } };
    const { predicted } = readPrediction(create(ProvePredictionRequestSchema, request));
    expect([...predicted!.field.cells]).toEqual([2000, 1000]);
    expect([...predicted!.cells]).toEqual([2, 1]);
  });

  test('and grids that go with it are refused by their own paths', () => {
    const history = [grid(1, 2), grid(1, Number.NaN)];
    expect(faults(() => readQuestion(create(PredictRequestSchema, { map, history })))).toEqual([
      'history[1].values[1]',
    ]);
    const odd = { map: { ...map, unit: 'kcal' }, history: [grid(1, 2)] };
    expect(faults(() => readQuestion(create(PredictRequestSchema, odd)))).toEqual(['map.unit']);
    const context = { capturedAt: {}, budget: { before: grid(1, 1e36) } };
    expect(faults(() => readClaim(create(ProveClaimRequestSchema, { map, context })))).toEqual([
      'context.budget.before',
    ]);
  });
});
