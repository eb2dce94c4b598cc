/** What telemetry says to the outside: its reasons, and the parts of its events. */
import { toBinary } from '@bufbuild/protobuf';
import { timestampMs } from '@bufbuild/protobuf/wkt';
import { describe, expect, test } from '@jest/globals';
import { ErrorReason } from '../../src/gen/homeostat/telemetry/v1/error_reason_pb.ts';
import {
  type WindowClosed,
  WindowClosedSchema,
} from '../../src/gen/homeostat/telemetry/v1/telemetry_events_pb.ts';
import { RejectReason } from '../../src/gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { telemetryError } from '../../src/telemetry/errors.ts';
import { PART_BYTES_MAX, windowParts } from '../../src/telemetry/publish.ts';
import { countsToProto } from '../../src/telemetry/report.ts';
import { counts, createHarness, START_MS } from './messages.ts';

test('every reason of the contract has its row, and no other', () => {
  const reasons = Object.keys(ErrorReason).filter((name) => name !== 'UNSPECIFIED');
  expect(Object.keys(telemetryError.table).sort()).toEqual(reasons.sort());
});

describe('a closed window', () => {
  const stream = { domain: 'lab', cluster: 'west' };
  const partsOf = (harness: ReturnType<typeof createHarness>) => windowParts(stream, harness.closed[0]!);

  /** `node/metric=mean` of every series of all parts. */
  const seriesOf = (parts: readonly WindowClosed[]) =>
    parts.flatMap(({ nodes, metrics, summaries }) =>
      summaries!.mean.map(
        (mean, i) =>
          `${nodes[summaries!.nodeIndex[i]!]!.name}/${metrics[summaries!.metricIndex[i]!]!.name}=${mean}`,
      ),
    );

  test('of ordinary size is one event', () => {
    const harness = createHarness();
    harness.send({
      sequence: 1,
      node: 'n1',
      samples: [[1, 5]],
      labels: { 'homeostat.row': '2', 'homeostat.col': '7' },
    });
    harness.send({ sequence: 2, node: 'n1', samples: [[2, 7]], endOfInput: true });
    const [part, ...others] = partsOf(harness);
    expect(others).toEqual([]);
    expect(part).toMatchObject({
      part: 0,
      parts: 1,
      stream,
      brokerSequence: 2n,
      endOfInput: true,
      completeness: 0.2,
    });
    expect(part!.nodes).toMatchObject([{ name: 'n1', cell: { row: 2, col: 7 } }]);
    expect([timestampMs(part!.start!), timestampMs(part!.end!)]).toEqual([START_MS, START_MS + 10_000]);
  });

  test('of many nodes comes in parts of at most 512 KiB, with every series in exactly one', () => {
    const harness = createHarness();
    const expected: string[] = [];
    for (let node = 0; node < 3000; node++) {
      const name = `node-${String(node).padStart(5, '0')}`;
      const samples = Array.from({ length: 8 }, (_, m) => [1, node + m / 10, `metric-${m}`] as const);
      for (const [, value, metric] of samples) expected.push(`${name}/${metric}=${value}`);
      harness.send({ source: name, node: name, sequence: 1, samples, endOfInput: node === 2999 });
    }
    const parts = partsOf(harness);
    expect(parts.length).toBeGreaterThan(2);
    for (const [i, part] of parts.entries()) {
      expect(part).toMatchObject({ part: i, parts: parts.length });
      expect(part.metrics).toHaveLength(8);
      expect(toBinary(WindowClosedSchema, part).length).toBeLessThanOrEqual(PART_BYTES_MAX);
    }
    expect(seriesOf(parts)).toEqual(expected);
  });

  test('of one node with very many metrics is cut within the node', () => {
    const harness = createHarness();
    let sequence = 0;
    for (let from = 0; from < 10_000; from += 250) {
      const samples = Array.from({ length: 250 }, (_, m) => [1, from + m, `m${from + m}`] as const);
      harness.send({ sequence: ++sequence, samples, endOfInput: from === 9_750 });
    }
    const parts = partsOf(harness);
    expect(parts.length).toBeGreaterThan(1);
    for (const part of parts) {
      expect(part.nodes).toHaveLength(1);
      expect(toBinary(WindowClosedSchema, part).length).toBeLessThanOrEqual(PART_BYTES_MAX);
    }
    expect(new Set(seriesOf(parts)).size).toBe(10_000);
  });
});

test('counts in the contract balance, and name only the reasons there are', () => {
  expect(countsToProto(counts({ 0: 5, 1: 2, 2: 1, 5: 4 }))).toMatchObject({
    offered: 12n,
    accepted: 5n,
    duplicate: 2n,
    late: 1n,
    rejected: [{ reason: RejectReason.NOT_FINITE, count: 4n }],
  });
  expect(countsToProto(counts({ 0: 3 }))).toMatchObject({ offered: 3n, rejected: [] });
});
