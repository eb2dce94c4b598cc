/** A simulated fleet as the server would see it, without a broker. Loaded by worker threads: it takes a second. */
import { LOOK_SLOTS } from '../../src/resilience/phase-risk/detector.ts';
import { samplesOfWindow } from '../../src/resilience/phase-risk/standing-metrics.ts';
import { calmDemand, crisisDemand } from '../../src/simulation/demand.ts';
import { createFleet } from '../../src/simulation/fleet.ts';
import { BatchDecoder } from '../../src/telemetry/message/decode.ts';

export interface ObservedFleetOptions {
  readonly seed: number;
  /** False for a fleet that never tips. */
  readonly tips: boolean;
}

export interface ObservedFleet {
  /** Per minute since the start. */
  readonly utilization: Float64Array;
  readonly loadVariance: Float64Array;
  /** Minute in which utilization first stood above .70; the number of minutes if it never did. */
  readonly passedMinute: number;
}

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
const WINDOW_MS = 10_000;
const WINDOWS_PER_MINUTE = MINUTE_MS / WINDOW_MS;
const NODES = 12;
const METRICS = 4;
const startMs = Date.UTC(2026, 0, 1);
const fromMs = startMs + 8 * HOUR_MS;
const toMs = fromMs + HOUR_MS;

/** Eight hours of history and the half hour in the middle of which the fleet tips, or does not. */
export function observeFleet({ seed, tips }: ObservedFleetOptions): ObservedFleet {
  const endMs = fromMs + HOUR_MS / 2;
  const demand = tips ? crisisDemand({ startMs, fromMs, toMs }) : calmDemand;
  const names = { domain: 'fleet', cluster: 'west' };
  const fleet = createFleet({
    nodes: NODES,
    seed,
    ...names,
    startMs,
    demand,
    epoch: 1,
    historyUntilMs: endMs,
  });
  const place = new Map(fleet.nodes.map((node, index) => [node, index]));
  const windows = (endMs - startMs) / WINDOW_MS;
  const means = new Float64Array(windows * NODES);
  const decoder = new BatchDecoder();
  for (const { node, payload } of fleet.batchesUntil(endMs - 1)) {
    if (!decoder.decode(payload)) throw new Error(decoder.fault);
    const { baseSeconds, valueCount, values, offsetMs } = decoder;
    for (let i = 0; i < valueCount; i += METRICS) {
      const window = Math.floor((baseSeconds * 1_000 + offsetMs[i]! - startMs) / WINDOW_MS);
      means[window * NODES + place.get(node)!]! += (values[i]! * 1_000) / WINDOW_MS;
    }
  }
  return summarize(means, windows);
}

function summarize(means: Float64Array, windows: number): ObservedFleet {
  const minutes = windows / WINDOWS_PER_MINUTE;
  const seen = { utilization: new Float64Array(minutes), load_variance: new Float64Array(minutes) };
  for (let window = 0; window < windows; window++) {
    const readings = Array.from(means.subarray(window * NODES, (window + 1) * NODES), (mean, node) => ({
      node: String(node),
      mean,
      coveredSeconds: WINDOW_MS / 1_000,
    }));
    for (const { metric, value } of samplesOfWindow(readings))
      if (metric === 'utilization' || metric === 'load_variance')
        seen[metric][Math.floor(window / WINDOWS_PER_MINUTE)]! += value / WINDOWS_PER_MINUTE;
  }
  const passed = seen.utilization.findIndex((value) => value > 0.7);
  return {
    utilization: seen.utilization,
    loadVariance: seen.load_variance,
    passedMinute: passed < 0 ? minutes : passed,
  };
}

/** The slots a look at a minute stands on. */
export function slotsUntil(values: Float64Array, minute: number): Float64Array {
  return values.slice(Math.max(0, minute - LOOK_SLOTS), minute);
}
