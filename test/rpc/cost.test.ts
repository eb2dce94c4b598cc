import { create, type DescMethod, type MessageInitShape } from '@bufbuild/protobuf';
import { describe, expect, test } from '@jest/globals';
import {
  DiffusionService,
  SampleRequestSchema,
} from '../../src/gen/homeostat/diffusion/v1/diffusion_service_pb.ts';
import {
  CheckConservationRequestSchema,
  ComputeStateRequestSchema,
  EnergyService,
} from '../../src/gen/homeostat/energy/v1/energy_service_pb.ts';
import { CostSchema, CostUnit } from '../../src/gen/homeostat/options/v1/method_pb.ts';
import { callCost } from '../../src/rpc/cost.ts';
import { ProbeService, probeMessage } from './probe-contract.ts';

const costOf = (method: DescMethod, cost: MessageInitShape<typeof CostSchema>) =>
  callCost(method, create(CostSchema, cost));
const echo = ProbeService.method['echo']!;
const { computeState, checkConservation } = EnergyService.method;

describe('a call costs', () => {
  test('its base where nothing is counted', () => {
    const cost = costOf(echo, { base: 3 });
    expect([cost.needsRequest, cost.tokens(1e6)]).toEqual([false, 3]);
  });

  test('the kibibytes of its request, begun ones included, without looking into it', () => {
    const cost = costOf(echo, { base: 2, per: 4, unit: CostUnit.KIB });
    expect(cost.needsRequest).toBe(false);
    expect([0, 1, 8 * 1024, 8 * 1024 + 1, 16 * 1024].map((bytes) => cost.tokens(bytes))).toEqual([
      2, 2, 2, 3, 4,
    ]);
  });

  test('the items of the first list it declares', () => {
    const method = { ...echo, input: probeMessage('Rules') } as DescMethod;
    const cost = costOf(method, { base: 1, per: 10, unit: CostUnit.ITEMS });
    expect(cost.needsRequest).toBe(true);
    expect(cost.tokens(0, { values: new Array(31).fill(0) })).toBe(4);
  });

  test('the cells of all its grids', () => {
    const cost = costOf(checkConservation, { base: 1, per: 65_536, unit: CostUnit.CELL_STEPS });
    const grid = (rows: number, cols: number) => ({ grid: { rows, cols } });
    const request = create(CheckConservationRequestSchema, {});
    expect(cost.tokens(0, request)).toBe(1);
    const maps = CheckConservationRequestSchema.fields.filter((field) => field.message?.name === 'MapInput');
    expect(maps.length).toBe(2);
    const full = Object.fromEntries(maps.map((field) => [field.localName, grid(1024, 1024)]));
    expect(cost.tokens(0, create(CheckConservationRequestSchema, full))).toBe(32);
  });

  test('those of lists, maps and choices as well, times its steps', () => {
    const input = probeMessage('SampleRequest');
    const cost = costOf({ ...echo, input } as DescMethod, { base: 1, per: 1, unit: CostUnit.CELL_STEPS });
    const grid = { rows: 2, cols: 3 };
    const tokens = (request: Record<string, unknown>) =>
      cost.tokens(0, create(input, request as MessageInitShape<typeof input>));
    expect(tokens({ grids: [grid, grid], steps: 5 })).toBe(60);
    expect(tokens({ named: { a: grid, b: grid, c: grid } })).toBe(18); // No steps are one.
    expect(tokens({ choice: { case: 'grid', value: grid }, steps: 2 })).toBe(12);
    expect(tokens({ choice: { case: 'name', value: 'x' }, steps: 2 })).toBe(1);
  });

  test('the cells of maps to be drawn, times their steps and how many there are', () => {
    const cost = costOf(DiffusionService.method.sample, {
      base: 20,
      per: 65_536,
      unit: CostUnit.CELL_STEPS,
    });
    const tokens = (spec: MessageInitShape<typeof SampleRequestSchema>['spec']) =>
      cost.tokens(0, create(SampleRequestSchema, { spec }));
    const large = { rows: 256, cols: 256 };
    expect(tokens({ ...large, numInferenceSteps: 30 })).toBe(30);
    expect(tokens({ ...large, numInferenceSteps: 30, samples: 4 })).toBe(120);
    expect(tokens(large)).toBe(50);
    expect(tokens({ rows: 16, cols: 16, numInferenceSteps: 10 })).toBe(20);
    expect(tokens({ priorId: 'p', samples: 64 })).toBe(20);
    expect(tokens(undefined)).toBe(20);
  });

  test('no more than a number, whatever a request says', () => {
    const cost = costOf(computeState, { base: 1, per: 1, unit: CostUnit.CELL_STEPS });
    const grid = { rows: 0xffffffff, cols: 0xffffffff };
    expect(cost.tokens(0, create(ComputeStateRequestSchema, { map: { grid } }))).toBe(1e9);
  });

  test('nothing that its request does not have: that is refused when it is bound', () => {
    for (const unit of [CostUnit.ITEMS, CostUnit.NODES, CostUnit.CELL_STEPS])
      expect(() => costOf(echo, { base: 1, per: 1, unit })).toThrow('which its request does not have');
  });
});
