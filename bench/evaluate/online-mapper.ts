/**
 * A stream of one node fed to the product's own mapper in event time, without broker and store: each step is a window
 * as telemetry closes it, and comes back as its map says it is. All settings are the product's defaults; the window is
 * one sampling step wide, so every sample is judged.
 */
import { create } from '@bufbuild/protobuf';
import { readConfig } from '../../src/config.ts';
import { StreamMapper } from '../../src/energy/map/energy-map.ts';
import type { Explanation } from '../../src/energy/map/explanation.ts';
import { mapSettings } from '../../src/energy/map/settings.ts';
import type { MapWindow, Reading } from '../../src/energy/map/window.ts';
import { StreamConfigSchema } from '../../src/gen/homeostat/energy/v1/energy_service_pb.ts';
import { runThrough } from '../../src/numeric/slices.ts';
import { energyConfig } from '../../src/settings.ts';

/** What the map of one step says of the node. */
export interface JudgedStep {
  /** -ln Pr(chi-square >= 2E), nats. */
  readonly surprise: number;
  /** The map's score, in [0, 1): how little of what the node has shown before explains the step. */
  readonly score: number;
  /** Energy E as the map's cell holds it: float32. */
  readonly energy: number;
  /** The columns of this step; metric k is the k-th of the mapper. */
  readonly explanation: Explanation;
}

export interface OnlineMapper {
  /** Maps the next step, then learns it. NaN is a missing value. Undefined where the map observes nothing yet. */
  judge(values: Float64Array): JudgedStep | undefined;
}

/** A mapper at its start, for metrics without unit, one sample every `stepMs`. */
export function createOnlineMapper(metricCount: number, stepMs: number): OnlineMapper {
  const defaults = energyConfig(readConfig({}));
  const mapper = new StreamMapper(mapSettings(create(StreamConfigSchema), defaults));
  // Metrics are taken in the order of their names.
  const digits = String(metricCount).length;
  const metrics = Array.from({ length: metricCount }, (_, metric) => ({
    name: `metric-${String(metric + 1).padStart(digits, '0')}`,
    unit: '1',
    kind: 'GAUGE' as const,
  }));
  let startMs = 0;

  return {
    judge(values) {
      const readings: Reading[] = [];
      values.forEach((value, metric) => {
        if (!Number.isNaN(value))
          readings.push({ metric, mean: value, integral: 0, coveredSeconds: 0, first: value, last: value });
      });
      const nodes = [{ name: 'node', declared: undefined, readings }];
      const window: MapWindow = { startMs, endMs: startMs + stepMs, metrics, nodes, endOfInput: false };
      startMs += stepMs;
      const { explanation, cells, score } = runThrough(mapper.fold(window));
      if (explanation === undefined || score === undefined) return undefined;
      return { surprise: explanation.surprise[0]!, score, energy: cells[0]!, explanation };
    },
  };
}
