import { fromBinary } from '@bufbuild/protobuf';
import { timestampMs } from '@bufbuild/protobuf/wkt';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createBatchEncoder } from '../../src/cli/batches.ts';
import type { NodeReadings } from '../../src/cli/recording.ts';
import {
  MetricKind,
  TelemetryBatchSchema,
} from '../../src/gen/homeostat/telemetry/v1/telemetry_service_pb.ts';

const options = {
  domain: 'd',
  cluster: 'c',
  sourceId: 's',
  epoch: 3,
  units: new Map([['m1', 'W']]),
  kinds: new Map([['m2', MetricKind.COUNTER]]),
};

test('a batch names its source, node, time and metrics, and is numbered from 1', () => {
  const encoder = createBatchEncoder(options);
  const nodes = new Map<string, NodeReadings>([
    ['n.1', { metrics: [2, 1, 2], values: [7, 8, 9] }],
    ['_', { metrics: [0], values: [Number.NaN] }],
  ]);
  const batches = [
    ...encoder.encode({ timeMs: 1_500, nodes }, ['m0', 'm1', 'm2']),
    encoder.encodeEnd(2_000, '_'),
  ];
  expect(batches.map(({ subject, sampleCount }) => [subject, sampleCount])).toEqual([
    ['homeostat.telemetry.v1.d.c.n=2E1', 3],
    ['homeostat.telemetry.v1.d.c._', 1],
    ['homeostat.telemetry.v1.d.c._', 0],
  ]);
  const decoded = batches.map(({ payload }) => fromBinary(TelemetryBatchSchema, payload));
  expect(decoded.map(({ sequence, endOfInput }) => [sequence, endOfInput])).toEqual([
    [1, false],
    [2, false],
    [3, true],
  ]);
  expect(decoded[0]).toMatchObject({
    sourceId: 's',
    epoch: 3,
    domain: 'd',
    cluster: 'c',
    node: 'n.1',
    metrics: [
      { name: 'm2', unit: '1', kind: MetricKind.COUNTER },
      { name: 'm1', unit: 'W', kind: MetricKind.GAUGE },
    ],
    metricIndex: [0, 1, 0],
    offsetMs: [0, 0, 0],
    values: [7, 8, 9],
  });
  expect(timestampMs(decoded[0]!.baseTime!)).toBe(1_500);
  expect(timestampMs(decoded[2]!.baseTime!)).toBe(2_000);
});

test('no batch passes a limit of the contract, and no sample is lost, however many there are', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 600 }),
      fc.integer({ min: 1, max: 20_000 }),
      (metricCount, valueCount) => {
        const names = Array.from({ length: metricCount }, (_, i) => `m${i}`);
        const metrics = Array.from({ length: valueCount }, (_, i) => (i * 7) % metricCount);
        const values = metrics.map((_, i) => i);
        const nodes = new Map([['n', { metrics, values }]]);
        const sent: [string, number][] = [];
        for (const { payload } of createBatchEncoder(options).encode({ timeMs: 0, nodes }, names)) {
          const batch = fromBinary(TelemetryBatchSchema, payload);
          expect(batch.metrics.length).toBeLessThanOrEqual(256);
          expect(batch.values.length).toBeLessThanOrEqual(8_192);
          batch.values.forEach((value, i) => {
            sent.push([batch.metrics[batch.metricIndex[i]!]!.name, value]);
          });
        }
        expect(sent).toEqual(values.map((value, i) => [names[metrics[i]!], value]));
      },
    ),
    { numRuns: 20 },
  );
});
