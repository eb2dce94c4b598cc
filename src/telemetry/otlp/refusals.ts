/**
 * What of an export is refused and why, as its sender is told: the exact number of points, and up to five times metric
 * and reason in order of appearance; the rest is counted. Refused points are never offered to the broker.
 */

import { cut } from './attribute.ts';

/** Why points are refused. */
export const REFUSALS = {
  NO_NODE: 'its resource has none of homeostat.node, host.name, host.id, k8s.node.name, service.instance.id',
  NO_NAME: 'the metric has no name',
  NO_TIME: 'the point has no time',
  NO_VALUE: 'the point has no value',
  NOT_FINITE: 'the value is NaN or infinite',
  NO_TEMPORALITY: 'it does not say whether its points are cumulative or deltas',
  SUMMARY: 'summaries are not taken, histograms are',
  UNIT_TOO_LONG: 'its unit has more than 32 characters',
  CONTESTED: 'another producer, scope or metric of this export has the same series of the same node',
  UNKNOWN_KIND: 'its points are of a kind not known here',
} as const;

export type RefusalReason = keyof typeof REFUSALS;

/** Pairs of metric and reason that are named. */
const NAMED_MAX = 5;
/** Characters of a metric's name that are shown. */
const NAME_SHOWN_MAX = 128;

interface Named {
  readonly metric: string;
  readonly reason: RefusalReason;
  points: number;
}

export class Refusals {
  /** Points refused. */
  points = 0;
  /** The same by reason. */
  readonly byReason = new Map<RefusalReason, number>();
  private readonly named: Named[] = [];

  /** Counts refused points of a metric; 0 of them where their number cannot be known. Constant. */
  add(metric: string, reason: RefusalReason, points: number): void {
    this.points += points;
    this.byReason.set(reason, (this.byReason.get(reason) ?? 0) + points);
    const known = this.named.find((one) => one.metric === metric && one.reason === reason);
    if (known !== undefined) known.points += points;
    else if (this.named.length < NAMED_MAX) this.named.push({ metric, reason, points });
  }

  /** `cpu: the point has no time (3 points); …; and 7 more points`; empty when nothing was refused. */
  text(): string {
    const parts = this.named.map(
      ({ metric, reason, points }) => `${shown(metric)}: ${REFUSALS[reason]} (${counted(points)})`,
    );
    const rest = this.points - this.named.reduce((sum, { points }) => sum + points, 0);
    if (rest > 0) parts.push(`and ${rest} more ${rest === 1 ? 'point' : 'points'}`);
    return parts.join('; ');
  }
}

function counted(points: number): string {
  return points === 1 ? '1 point' : `${points} points`;
}

function shown(metric: string): string {
  if (metric === '') return '(no name)';
  return metric.length > NAME_SHOWN_MAX ? `${cut(metric, NAME_SHOWN_MAX - 1)}…` : metric;
}
