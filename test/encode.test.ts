/** Messages to bytes: byte for byte what the library writes, whatever is set. */
import { create, type DescMessage, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { encodeMessage } from '../src/encode.ts';
import {
  GetMapResponseSchema,
  PredictRequestSchema,
  PredictResponseSchema,
} from '../src/gen/homeostat/energy/v1/energy_service_pb.ts';
import {
  SeriesSummariesSchema,
  WindowClosedSchema,
} from '../src/gen/homeostat/telemetry/v1/telemetry_events_pb.ts';
import { TelemetryBatchSchema } from '../src/gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { GridSchema } from '../src/gen/homeostat/type/v1/grid_pb.ts';

const anyFloat = fc.float();
const anyGrid = fc.oneof(
  fc.record({ rows: fc.nat(1024), cols: fc.nat(1024), values: fc.array(anyFloat) }),
  fc.record({ rows: fc.nat(1024), cols: fc.nat(1024), rawValues: fc.uint8Array() }),
  fc.constant({}),
);
const optional = <Value>(value: fc.Arbitrary<Value>) => fc.option(value, { nil: undefined });

const messages: readonly [string, DescMessage, fc.Arbitrary<object>][] = [
  ['a grid', GridSchema, anyGrid],
  [
    'a forecast',
    PredictResponseSchema,
    fc.record(
      {
        prediction: anyGrid,
        upper: anyGrid,
        calibrated: fc.boolean(),
        confidence: fc.double(),
        expectedVrmse: fc.double(),
        scoredCount: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        weights: fc.array(fc.record({ predictor: fc.nat(5), weight: fc.double() })),
        trajectory: fc.array(anyGrid, { maxLength: 3 }),
        state: fc.record({ net: fc.double(), observedCount: fc.nat() }),
      },
      { requiredKeys: [] },
    ),
  ],
  [
    'a question',
    PredictRequestSchema,
    fc.record({
      map: fc.record({ grid: anyGrid, unit: fc.string(), spacing: optional(fc.double()) }),
      history: fc.array(anyGrid, { maxLength: 3 }),
      steps: optional(fc.nat(100)),
      predictors: fc.array(fc.nat(5)),
    }),
  ],
  [
    'a batch of telemetry',
    TelemetryBatchSchema,
    fc.record({
      sourceId: fc.string(),
      metrics: fc.array(fc.record({ name: fc.string(), unit: fc.string() })),
      metricIndex: fc.array(fc.nat()),
      offsetMs: fc.array(fc.integer()),
      values: fc.array(fc.double()),
      endOfInput: fc.boolean(),
      labels: fc.dictionary(fc.string(), fc.string()),
    }),
  ],
  [
    'a closed window',
    WindowClosedSchema,
    fc.record({
      stream: fc.record({ domain: fc.string(), cluster: fc.string() }),
      part: fc.nat(),
      nodes: fc.array(fc.record({ name: fc.string() })),
      summaries: fc.record({
        nodeIndex: fc.array(fc.nat()),
        count: fc.array(fc.nat({ max: 2 ** 32 - 1 })),
        mean: fc.array(fc.double()),
        last: fc.array(fc.double()),
      }),
      completeness: fc.double(),
    }),
  ],
];

describe('encoded messages', () => {
  test.each(messages)('have the bytes the library gives %s', (_name, schema, arbitrary) => {
    fc.assert(
      fc.property(arbitrary, (init) => {
        const message = create(schema, init as MessageInitShape<DescMessage>);
        expect(Buffer.from(encodeMessage(schema, message))).toEqual(Buffer.from(toBinary(schema, message)));
      }),
    );
  });

  test('keep what was not known when they were read', () => {
    const message = create(GridSchema, { rows: 1, cols: 1, values: [2] });
    message.$unknown = [{ no: 99, wireType: 0, data: new Uint8Array([7]) }];
    const reply = create(GetMapResponseSchema, { map: { grid: message } });
    expect(Buffer.from(encodeMessage(GetMapResponseSchema, reply))).toEqual(
      Buffer.from(toBinary(GetMapResponseSchema, reply)),
    );
  });

  test('hold no number beyond single precision, but infinity and NaN', () => {
    const grid = (value: number) => encodeMessage(GridSchema, create(GridSchema, { values: [value] }));
    expect(() => grid(3.5e38)).toThrow(RangeError);
    expect(grid(Number.NEGATIVE_INFINITY)).toHaveLength(6);
    expect(grid(Number.NaN)).toHaveLength(6);
  });

  test.each([-1, 0.5, 2 ** 32, Number.NaN])('hold no unsigned integer that is none: %d', (value) => {
    const message = create(SeriesSummariesSchema, { count: [1, value] });
    expect(() => encodeMessage(SeriesSummariesSchema, message)).toThrow(RangeError);
  });
});
