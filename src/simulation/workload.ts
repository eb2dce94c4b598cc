/**
 * The work a simulated fleet is asked to take: sessions of several priorities, arriving at random (Poisson) and
 * lasting a random time (exponential), all from a seed, in event time.
 */
import { Priority } from '../gen/homeostat/session/v1/session_service_pb.ts';
import { createRandom } from '../random.ts';

/** A session somebody asks for. */
export interface WantedSession {
  /** Counts from 1. */
  readonly number: number;
  /** Event time at which it is asked for, milliseconds. */
  readonly atMs: number;
  /** How long it lasts when it is admitted, milliseconds of event time. */
  readonly durationMs: number;
  readonly name: string;
  readonly priority: Priority;
}

export interface WorkloadOptions {
  readonly seed: number;
  readonly startMs: number;
  /** Mean time between two sessions, milliseconds of event time; default 15,000. */
  readonly intervalMs?: number;
  /** Mean time a session lasts, milliseconds of event time; default 90,000. */
  readonly durationMs?: number;
}

/** Shares of the priorities; they sum to 1. */
const MIX: readonly (readonly [priority: Priority, share: number])[] = [
  [Priority.LOW, 0.3],
  [Priority.NORMAL, 0.4],
  [Priority.HIGH, 0.2],
  [Priority.CRITICAL, 0.1],
];

const KINDS = ['train', 'serve', 'index', 'render', 'replay', 'audit'];

/** Stream of random numbers set apart from those of the fleet's nodes. */
const WORKLOAD_STREAM = 0xffff_ffff;

/** Sessions in order of their time, without end. */
export function* wantedSessions(options: WorkloadOptions): Generator<WantedSession, never, undefined> {
  const random = createRandom(options.seed, WORKLOAD_STREAM);
  const intervalMs = options.intervalMs ?? 15_000;
  const meanDurationMs = options.durationMs ?? 90_000;
  let atMs = options.startMs;
  for (let number = 1; ; number++) {
    atMs += intervalMs * random.exponential();
    const priority = pick(random.uniform());
    const name = `${KINDS[random.below(KINDS.length)]}-${number}`;
    yield { number, atMs, durationMs: meanDurationMs * random.exponential(), name, priority };
  }
}

function pick(uniform: number): Priority {
  let left = uniform;
  for (const [priority, share] of MIX) {
    if (left < share) return priority;
    left -= share;
  }
  return Priority.NORMAL; // Rounding of the shares.
}
