/**
 * From what a window says of a metric to the number its model learns: which metrics take part, and their transforms.
 * Every transform is finite for finite readings.
 */
import { METRICS_MAX } from './judgement.ts';
import type { MapWindow, Reading, WindowMetric } from './window.ts';

/** DEFAULT is NONE, or RATE for a counter. */
export type Transform = 'DEFAULT' | 'NONE' | 'LOG1P' | 'RATE' | 'LOGIT';

export interface MetricChoice {
  readonly name: string;
  readonly transform: Transform;
}

/** Least distance of a LOGIT's argument from 0 and 1. */
const LOGIT_MARGIN = 1e-6;

/**
 * Metrics that take part, in the order of a model's entries: the configured ones, or, grown window by window, the
 * first 64 seen, by name. Places once given never change.
 */
export function chooseMetrics(
  known: readonly string[],
  configured: readonly MetricChoice[],
  window: MapWindow,
): readonly string[] {
  if (configured.length > 0) return known.length > 0 ? known : configured.map(({ name }) => name);
  const seen = new Set(known);
  const fresh = window.metrics
    .map(({ name }) => name)
    .filter((name) => !seen.has(name))
    .sort()
    .slice(0, METRICS_MAX - known.length);
  return fresh.length === 0 ? known : [...known, ...fresh];
}

/** Where a metric of a window goes in the sample of a model: -1, nowhere. */
export interface Place {
  readonly place: number;
  readonly transform: Transform;
}

/** Places of a window's metrics among the metrics chosen. */
export function samplePlaces(
  chosen: readonly string[],
  configured: readonly MetricChoice[],
  window: MapWindow,
): Place[] {
  return window.metrics.map(({ name }) => ({
    place: chosen.indexOf(name),
    transform: configured.find((one) => one.name === name)?.transform ?? 'DEFAULT',
  }));
}

/** Writes a node's readings to the sample, NaN where there is none; false when there is none at all. */
export function fillSample(
  readings: readonly Reading[],
  window: MapWindow,
  places: readonly Place[],
  sample: Float64Array,
): boolean {
  const seconds = (window.endMs - window.startMs) / 1000;
  let any = false;
  sample.fill(Number.NaN);
  for (const reading of readings) {
    const { place, transform } = places[reading.metric]!;
    if (place < 0) continue;
    sample[place] = transformed(reading, window.metrics[reading.metric]!, transform, seconds);
    any = true;
  }
  return any;
}

/** The number a model learns from one reading. */
function transformed(reading: Reading, metric: WindowMetric, transform: Transform, seconds: number): number {
  switch (transform) {
    case 'DEFAULT':
      return metric.kind === 'COUNTER' ? reading.integral / seconds : reading.mean;
    case 'NONE':
      return reading.mean;
    case 'RATE':
      return reading.integral / seconds;
    case 'LOG1P':
      return Math.log1p(Math.max(0, reading.mean));
    case 'LOGIT': {
      const p = Math.max(LOGIT_MARGIN, Math.min(1 - LOGIT_MARGIN, reading.mean));
      return Math.log(p / (1 - p));
    }
  }
}
