/**
 * Joules measured: what a window's energy and power metrics say a node used. Powers are integrated over the covered
 * time, counters and amounts are summed, a meter read as a gauge is differenced. Nothing is extrapolated: a window less
 * than half covered is not observed.
 */
import { energyUnit } from '../../units.ts';
import type { MapWindow, Reading, WindowMetric } from './window.ts';

/** Least covered share of a window. */
const COVERAGE_MIN = 0.5;

/** Last reading of each energy metric a node ever reported, and the end of the window it was read in. */
export type MeterReadings = Map<string, { readonly last: number; readonly endMs: number }>;

/**
 * Names of the metrics whose energies are added up, in order of appearance: the configured ones, where any are
 * configured; else a single one, since several usually measure the same energy again: the first energy by name, or the
 * first power, of the first window that has one. A name once chosen stays.
 */
export function energyMetrics(
  known: readonly string[],
  configured: readonly string[],
  metrics: readonly WindowMetric[],
): readonly string[] {
  const fresh = metrics.filter(({ name, unit }) => energyUnit(unit) !== undefined && !known.includes(name));
  if (configured.length > 0) {
    const added = fresh.map(({ name }) => name).filter((name) => configured.includes(name));
    return added.length === 0 ? known : [...known, ...added];
  }
  if (known.length > 0) return known;
  const rank = ({ unit }: WindowMetric) => (energyUnit(unit)?.quantity === 'energy' ? 0 : 1);
  fresh.sort((a, b) => rank(a) - rank(b) || (a.name < b.name ? -1 : 1));
  return fresh.slice(0, 1).map(({ name }) => name);
}

/**
 * Joules of one node in a window, from the metrics named; undefined when it is not observed: nothing reported, or one
 * of the metrics it has reported before missing or covered too little. Updates its meters.
 */
export function joulesOf(
  readings: readonly Reading[],
  window: MapWindow,
  names: readonly string[],
  meters: MeterReadings,
): number | undefined {
  const seconds = (window.endMs - window.startMs) / 1000;
  let joules = 0;
  let covered = 0;
  for (const reading of readings) {
    const metric = window.metrics[reading.metric]!;
    const unit = energyUnit(metric.unit);
    if (unit === undefined || !names.includes(metric.name)) continue;
    const before = meters.get(metric.name);
    meters.set(metric.name, { last: reading.last, endMs: window.endMs });
    joules +=
      unit.quantity === 'power'
        ? powerIntegral(reading, metric, unit.watts, seconds)
        : energyAmount(reading, metric, before?.endMs === window.startMs ? before.last : reading.first) *
          unit.joules;
    if (reading.coveredSeconds >= COVERAGE_MIN * seconds) covered++;
  }
  return covered > 0 && covered === meters.size ? joules : undefined;
}

/** A power that comes as a counter or as amounts has no integral; its mean over the window stands for it. */
function powerIntegral(reading: Reading, metric: WindowMetric, watts: number, seconds: number): number {
  return (metric.kind === 'GAUGE' ? reading.integral : reading.mean * seconds) * watts;
}

/** Sum of a counter or of amounts; for a meter, its difference to where it stood at the window's beginning. */
function energyAmount(reading: Reading, metric: WindowMetric, begunAt: number): number {
  return metric.kind === 'GAUGE' ? reading.last - begunAt : reading.integral;
}
