import { fromBinary } from '@bufbuild/protobuf';
import { timestampMs } from '@bufbuild/protobuf/wkt';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { TelemetryBatchSchema } from '../../src/gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { calmDemand, crisisDemand } from '../../src/simulation/demand.ts';
import { createFleet, type FleetBatch, type FleetOptions } from '../../src/simulation/fleet.ts';

const startMs = Date.UTC(2026, 0, 1);
const HOUR_MS = 3_600_000;

function options(changes: Partial<FleetOptions> = {}): FleetOptions {
  const stream = { domain: 'fleet', cluster: 'west' };
  return { nodes: 12, seed: 1, ...stream, startMs, demand: calmDemand, epoch: 7, ...changes };
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
    const given = options({ nodes: 3, historyUntilMs: startMs + 70_000 });
    const whole = digest(createFleet(given).batchesUntil(startMs + 100_000));
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 100_000 }), { maxLength: 8 }), (cuts) => {
        const fleet = createFleet(given);
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

  test('hands history in by long batches of the same samples, the first of each node a short one', () => {
    const samplesOf = (given: FleetOptions) => {
      const samples: string[] = [];
      const lengths: number[] = [];
      for (const { node, payload } of createFleet(given).batchesUntil(startMs + 134_000)) {
        if (node !== 'node-02') continue;
        const batch = fromBinary(TelemetryBatchSchema, payload);
        lengths.push(batch.values.length / batch.metrics.length);
        batch.values.forEach((value, i) => {
          const atMs = timestampMs(batch.baseTime!) + batch.offsetMs[i]!;
          samples.push(`${atMs} ${batch.metrics[batch.metricIndex[i]!]!.name} ${value}`);
        });
      }
      return { samples, lengths };
    };
    const live = samplesOf(options({ nodes: 2 }));
    const caughtUp = samplesOf(options({ nodes: 2, historyUntilMs: startMs + 120_000 }));
    expect(caughtUp.samples).toEqual(live.samples);
    expect(live.lengths).toEqual(new Array(27).fill(5));
    // After the third long one another would reach beyond history.
    expect(caughtUp.lengths).toEqual([5, 30, 30, 30, ...new Array(8).fill(5)]);
  });

  test.each([12, 1])('of %d nodes is calm, saturates in the middle of its crisis, and recovers', (nodes) => {
    const toMs = startMs + HOUR_MS;
    const demand = crisisDemand({ startMs, fromMs: startMs, toMs });
    for (const seed of [1, 2]) {
      const minutes = utilization(options({ demand, nodes, seed }), HOUR_MS);
      const middle = minutes.length / 2;
      expect(Math.max(...minutes.slice(0, middle - 8))).toBeLessThan(0.7);
      expect(Math.max(...minutes.slice(middle - 3, middle + 3))).toBeGreaterThan(0.95);
      expect(Math.max(...minutes.slice(-10))).toBeLessThan(0.5);
    }
  });

  test('under calm demand stays calm', () => {
    const minutes = utilization(options({ seed: 3 }), HOUR_MS);
    expect(Math.max(...minutes)).toBeLessThan(0.4);
    expect(Math.min(...minutes)).toBeGreaterThan(0.28);
  });
});
