/**
 * The scalars of a cell that are watched for early warnings, and how each is read off a closed window or a map. Those
 * that are spread over orders of magnitude are watched as their logarithm, in which a stationary fluctuation is near
 * to the Gaussian that its surrogates are.
 */
import type { EnergyMap } from '../../gen/homeostat/energy/v1/energy_service_pb.ts';
import type { NodeReading } from '../cells/utilization.ts';

/** Where a metric is read from: two feeds, each with a pace of its own. */
export type Feed = 'windows' | 'maps';

/** One scalar read off one window. */
export interface StandingSample {
  readonly metric: StandingMetric;
  readonly value: number;
}

/** Metrics by their feed: mean and ln variance of utilization over nodes; ln net energy and spatial entropy of maps. */
export const STANDING_METRICS = {
  windows: ['utilization', 'load_variance'],
  maps: ['map_energy', 'map_entropy'],
} as const;

export type StandingMetric = (typeof STANDING_METRICS)[Feed][number];

/** What the readings of one window say: nothing without nodes, no variance where it is zero. O(nodes). */
export function samplesOfWindow(readings: readonly NodeReading[]): StandingSample[] {
  if (readings.length === 0) return [];
  const mean = readings.reduce((sum, reading) => sum + reading.mean, 0) / readings.length;
  const samples: StandingSample[] = [{ metric: 'utilization', value: mean }];
  const squares = readings.reduce((sum, reading) => sum + (reading.mean - mean) ** 2, 0);
  if (readings.length > 1 && squares > 0)
    samples.push({ metric: 'load_variance', value: Math.log(squares / (readings.length - 1)) });
  return samples;
}

/** What one map says: nothing while no cell of it is observed. */
export function samplesOfMap({ state }: Pick<EnergyMap, 'state'>): StandingSample[] {
  if (!state || state.observedCount === 0) return [];
  const samples: StandingSample[] = [];
  if (state.net > 0) samples.push({ metric: 'map_energy', value: Math.log(state.net) });
  if (state.spatialEntropyRatio !== undefined)
    samples.push({ metric: 'map_entropy', value: state.spatialEntropyRatio });
  return samples;
}
