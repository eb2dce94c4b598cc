import { fromBinary } from '@bufbuild/protobuf';
import { timestampMs } from '@bufbuild/protobuf/wkt';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { TelemetryBatchSchema } from '../../src/gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { createFleet, type FleetBatch, type FleetOptions } from '../../src/simulation/fleet.ts';
import { crisisDepth, crisisWithin } from '../../src/simulation/load.ts';

const startMs = Date.UTC(2026, 0, 1);
const HOUR_MS = 3_600_000;

function options(changes: Partial<FleetOptions> = {}): FleetOptions {
  const crisis = crisisWithin(startMs, HOUR_MS);
  return { nodes: 12, seed: 1, domain: 'fleet', cluster: 'west', startMs, crisis, epoch: 7, ...changes };
}

const digest = (batches: Iterable<FleetBatch>) =>
  [...batches].map((batch) => Buffer.from(batch.payload).toString('base64'));

/** Mean over nodes of `cpu` in each minute. */
function utilization(given: FleetOptions, durationMs: number): number[] {
  const sums = new Map<number, { sum: number; count: number }>();
  for (const { payload } of createFleet(given).batchesUntil(given.startMs + durationMs)) {
    const batch = fromBinary(TelemetryBatchSchema, payload);
    batch.values.forEach((value, i) => {
      if (batch.metricIndex[i] !== 0) return;
      const minute = Math.floor((timestampMs(batch.baseTime!) + batch.offsetMs[i]! - startMs) / 60_000);
      const cell = sums.get(minute) ?? { sum: 0, count: 0 };
      sums.set(minute, { sum: cell.sum + value, count: cell.count + 1 });
    });
  }
  return [...sums.values()].map(({ sum, count }) => sum / count);
}

describe('a simulated fleet', () => {
  test('sends the same bytes for the same seed, others for another', () => {
    const until = startMs + 120_000;
    const first = digest(createFleet(options()).batchesUntil(until));
    expect(digest(createFleet(options()).batchesUntil(until))).toEqual(first);
    expect(digest(createFleet(options({ seed: 2 })).batchesUntil(until))).not.toEqual(first);
  });

  test('sends the same bytes however its time is cut into pieces', () => {
    const whole = digest(createFleet(options({ nodes: 3 })).batchesUntil(startMs + 100_000));
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 100_000 }), { maxLength: 8 }), (cuts) => {
        const fleet = createFleet(options({ nodes: 3 }));
        const pieces = [...cuts.sort((a, b) => a - b), 100_000];
        expect(pieces.flatMap((cut) => digest(fleet.batchesUntil(startMs + cut)))).toEqual(whole);
      }),
      { numRuns: 20 },
    );
  });

  test('numbers the batches of each node from 1 without holes and times its samples a second apart', () => {
    const perNode = new Map<string, { sequence: number; nextMs: number }>();
    for (const { node, payload, sampleCount, lastSampleMs } of createFleet(options()).batchesUntil(
      startMs + 60_000,
    )) {
      const batch = fromBinary(TelemetryBatchSchema, payload);
      const last = perNode.get(node) ?? { sequence: 0, nextMs: startMs };
      expect(batch.sequence).toBe(last.sequence + 1);
      expect(batch.epoch).toBe(7);
      expect(batch.values).toHaveLength(sampleCount);
      const times = [...new Set(batch.offsetMs)].map((offset) => timestampMs(batch.baseTime!) + offset);
      expect(times).toEqual(times.map((_, i) => last.nextMs + i * 1_000));
      expect(times.at(-1)).toBe(lastSampleMs);
      perNode.set(node, { sequence: batch.sequence, nextMs: times.at(-1)! + 1_000 });
    }
    expect([...perNode.values()]).toEqual(
      Array.from({ length: 12 }, () => ({ sequence: 12, nextMs: startMs + 60_000 })),
    );
  });

  test.each([
    ['an hour', HOUR_MS, 12],
    ['ten minutes', 600_000, 12],
    ['an hour of a single node', HOUR_MS, 1],
  ])('is calm, passes every threshold of defense halfway, and recovers within %s', (_, durationMs, nodes) => {
    const crisis = crisisWithin(startMs, durationMs);
    for (const seed of [1, 2]) {
      const minutes = utilization(options({ crisis, nodes, seed }), durationMs);
      const middle = Math.floor(minutes.length / 2);
      expect(Math.max(...minutes.slice(0, Math.max(1, Math.floor(middle * 0.3))))).toBeLessThan(0.7);
      expect(Math.max(...minutes.slice(middle - 1, middle + 2))).toBeGreaterThan(0.95);
      expect(minutes.at(-1)).toBeLessThan(0.68);
    }
  });
});

test('the depth of a crisis rises to 1, stays, and falls to 0 without a jump', () => {
  const crisis = crisisWithin(0, HOUR_MS);
  expect(crisisDepth(crisis, 0)).toBe(0);
  expect(crisisDepth(crisis, crisis.driftMs)).toBe(0);
  expect(crisisDepth(crisis, HOUR_MS / 2)).toBe(1);
  expect(crisisDepth(crisis, crisis.calmMs)).toBe(0);
  for (let atMs = 0; atMs < HOUR_MS; atMs += 1_000) {
    expect(Math.abs(crisisDepth(crisis, atMs + 1_000) - crisisDepth(crisis, atMs))).toBeLessThan(0.01);
  }
});
