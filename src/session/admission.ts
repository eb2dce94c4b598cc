/**
 * Who gets in. Pure: the caller counts inside the transaction that stores the session, so what is decided here is
 * still true when it is committed.
 *
 * Causes are looked at in one order, and the first that refuses is named: SERVER_LIMIT, OWNER_LIMIT, DEFENSE_LEVEL,
 * PLACEMENT. Hard limits come first because nobody can argue with them; placement comes last because asking for it
 * takes a reservation.
 */
import type { Priority } from './session.ts';

export type RefusalCause = 'SERVER_LIMIT' | 'OWNER_LIMIT' | 'DEFENSE_LEVEL' | 'PLACEMENT';

export const REFUSAL_CAUSES: readonly RefusalCause[] = [
  'SERVER_LIMIT',
  'OWNER_LIMIT',
  'DEFENSE_LEVEL',
  'PLACEMENT',
];

/** Calm: everybody is admitted. What holds until a level was seen. */
export const LOWEST_LEVEL = 1;
/** Only CRITICAL sessions are admitted. */
export const HIGHEST_LEVEL = 5;

/** Priorities that each defense level admits; index 0 is level 1. */
const ADMITTED: readonly (readonly Priority[])[] = [
  ['LOW', 'NORMAL', 'HIGH', 'CRITICAL'],
  ['LOW', 'NORMAL', 'HIGH', 'CRITICAL'],
  ['NORMAL', 'HIGH', 'CRITICAL'],
  ['HIGH', 'CRITICAL'],
  ['CRITICAL'],
];

export interface AdmissionLimits {
  /** Most sessions created or live in the database, 1 or more; default 200. */
  readonly sessionsMax: number;
  /** Most of them that one owner may have, 1..10,000; default 20. */
  readonly sessionsPerOwnerMax: number;
}

export interface Occupancy {
  /** Sessions created or live. */
  readonly server: number;
  /** Those of the owner who asks. */
  readonly owner: number;
  /** Defense level of the fleet, 1..5. */
  readonly level: number;
}

/** Why a session of that priority is refused before placement is asked; undefined when nothing stands against it. */
export function refusalCause(
  priority: Priority,
  occupancy: Occupancy,
  limits: AdmissionLimits,
): Exclude<RefusalCause, 'PLACEMENT'> | undefined {
  if (occupancy.server >= limits.sessionsMax) return 'SERVER_LIMIT';
  if (occupancy.owner >= limits.sessionsPerOwnerMax) return 'OWNER_LIMIT';
  return admitsPriority(occupancy.level, priority) ? undefined : 'DEFENSE_LEVEL';
}

/** Whether a level admits a priority. Throws a RangeError for anything but a level. */
export function admitsPriority(level: number, priority: Priority): boolean {
  const admitted = ADMITTED[level - 1];
  if (admitted === undefined) throw new RangeError(`defense level ${level} is none of 1..5`);
  return admitted.includes(priority);
}
