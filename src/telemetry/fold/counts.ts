/**
 * The account of everything offered: offered = accepted + duplicate + late + rejected, kept once in messages and once
 * in samples. One number per outcome in a Float64Array, so that counting costs an addition and a copy is a memcpy.
 */
import { RejectReason } from '../../gen/homeostat/telemetry/v1/telemetry_service_pb.ts';

export const ACCEPTED = 0;
export const DUPLICATE = 1;
export const LATE = 2;

/** Place of a rejection for `reason` in the counts: 3..9. */
export function rejectedFor(reason: RejectReason): number {
  return LATE + reason;
}

/** Every reason a message or sample can be rejected for, in order of its number. */
export const REJECT_REASONS: readonly RejectReason[] = [
  RejectReason.MALFORMED,
  RejectReason.SUBJECT_MISMATCH,
  RejectReason.NOT_FINITE,
  RejectReason.UNIT_CHANGED,
  RejectReason.FUTURE_TIMESTAMP,
  RejectReason.SEQUENCE_TOO_OLD,
  RejectReason.SERIES_LIMIT,
];

const NAMES = new Map<number, string>(Object.entries(RejectReason).map(([name, reason]) => [reason, name]));

/** Name of a reason as the contract writes it, without its prefix: `NOT_FINITE`. */
export function reasonName(reason: number): string {
  return NAMES.get(reason) ?? String(reason);
}

/** Outcomes there are: accepted, duplicate, late, and one per reason. */
export const OUTCOME_COUNT = 3 + REJECT_REASONS.length;

/** How many of each outcome, indexed by ACCEPTED, DUPLICATE, LATE and `rejectedFor`. */
export type Counts = Float64Array;

export function createCounts(from?: readonly number[]): Counts {
  const counts = new Float64Array(OUTCOME_COUNT);
  if (from) counts.set(from.slice(0, OUTCOME_COUNT));
  return counts;
}

/** Adds `more` to `into`. */
export function addCounts(into: Counts, more: ArrayLike<number>): void {
  for (let i = 0; i < OUTCOME_COUNT; i++) into[i] = into[i]! + (more[i] ?? 0);
}

/** Everything counted: the left side of the conservation law. */
export function offered(counts: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < OUTCOME_COUNT; i++) sum += counts[i] ?? 0;
  return sum;
}
