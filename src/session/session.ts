/**
 * A session's lifecycle. State is a fold over the session's events; `TRANSITIONS` is the whole of what may happen, and
 * a trigger it does not list for a state changes nothing. Everything here is pure. Times are wall milliseconds;
 * versions count committed changes from 1.
 */
import type { FieldViolation } from '../errors.ts';

export type SessionState = 'CREATED' | 'CANCELLED' | 'EXPIRED';

/** What makes a session change: a command, or time. */
export type Trigger = 'Create' | 'Cancel' | 'Expire';

/** The table of the lifecycle. `from` is undefined where there is no session yet. */
export const TRANSITIONS: ReadonlyArray<{
  readonly from: SessionState | undefined;
  readonly trigger: Trigger;
  readonly to: SessionState;
  /** Whether a client may ask for it; the others happen by themselves. */
  readonly command: boolean;
}> = [
  { from: undefined, trigger: 'Create', to: 'CREATED', command: true },
  { from: 'CREATED', trigger: 'Cancel', to: 'CANCELLED', command: true },
  { from: 'CREATED', trigger: 'Expire', to: 'EXPIRED', command: false },
];

/** States in which a session takes a place in the server's and its owner's limits. */
export const ADMITTED_STATES: readonly SessionState[] = ['CREATED'];

/** Least urgent first. */
export type Priority = 'LOW' | 'NORMAL' | 'HIGH' | 'CRITICAL';

/** What the owner says about a session. */
export interface Description {
  readonly name: string;
  readonly description: string;
  readonly project: string;
  readonly environment: string;
  readonly tags: readonly string[];
  readonly priority: Priority;
}

/** One stored change. The first of a session is always `Created`. */
export type SessionEvent =
  | {
      readonly kind: 'Created';
      readonly atMs: number;
      readonly sessionId: string;
      readonly owner: string;
      readonly about: Description;
      /** Node that takes it, where placement named one. */
      readonly nodeId?: string;
      /** When it expires unless it is started. */
      readonly startByMs: number;
    }
  | { readonly kind: 'Cancelled'; readonly atMs: number; readonly by: string; readonly reason: string }
  | { readonly kind: 'Expired'; readonly atMs: number };

export interface Session {
  readonly sessionId: string;
  readonly owner: string;
  readonly about: Description;
  readonly nodeId: string | undefined;
  readonly state: SessionState;
  readonly version: number;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
  /** When it expires unless it is started; undefined once it has ended. */
  readonly startByMs: number | undefined;
  /** Why it ended; empty while it has not. */
  readonly endReason: string;
}

/** A trigger the table does not list for the state, with the commands that it does list. */
export interface WrongState {
  readonly state: SessionState;
  readonly allowed: readonly Trigger[];
}

/** State after the trigger; undefined when the table does not list the pair. */
export function nextState(from: SessionState | undefined, trigger: Trigger): SessionState | undefined {
  return TRANSITIONS.find((row) => row.from === from && row.trigger === trigger)?.to;
}

/** Commands that the table lists for a state. */
export function allowedCommands(state: SessionState): readonly Trigger[] {
  return TRANSITIONS.filter((row) => row.from === state && row.command).map((row) => row.trigger);
}

/** The event that gives a session up, or why it cannot be. */
export function cancel(
  session: Session,
  by: string,
  reason: string,
  nowMs: number,
): { readonly event: SessionEvent } | { readonly wrong: WrongState } {
  if (nextState(session.state, 'Cancel') === undefined)
    return { wrong: { state: session.state, allowed: allowedCommands(session.state) } };
  return { event: { kind: 'Cancelled', atMs: nowMs, by, reason } };
}

/** The event that ends a session that was not started in time; undefined while it is not due. */
export function expire(session: Session, nowMs: number): SessionEvent | undefined {
  if (nextState(session.state, 'Expire') === undefined) return undefined;
  if (session.startByMs === undefined || nowMs < session.startByMs) return undefined;
  return { kind: 'Expired', atMs: nowMs };
}

const TRIGGERS: Readonly<Record<SessionEvent['kind'], Trigger>> = {
  Created: 'Create',
  Cancelled: 'Cancel',
  Expired: 'Expire',
};

/**
 * The session after one more event; `session` is undefined for the first. Throws when the table does not list the
 * change: such an event was never decided here, so the history is damaged.
 */
export function apply(session: Session | undefined, event: SessionEvent): Session {
  const state = nextState(session?.state, TRIGGERS[event.kind]);
  if (state === undefined)
    throw new Error(`session history: ${event.kind} after ${session?.state ?? 'nothing'}`);
  if (event.kind === 'Created')
    return {
      sessionId: event.sessionId,
      owner: event.owner,
      about: event.about,
      nodeId: event.nodeId,
      state,
      version: 1,
      createdAtMs: event.atMs,
      updatedAtMs: event.atMs,
      startByMs: event.startByMs,
      endReason: '',
    };
  return {
    ...session!,
    state,
    version: session!.version + 1,
    updatedAtMs: event.atMs,
    startByMs: undefined,
    endReason: event.kind === 'Cancelled' ? event.reason : 'not started in time',
  };
}

/** The session that a history leads to; undefined for an empty one. */
export function fold(events: Iterable<SessionEvent>): Session | undefined {
  let session: Session | undefined;
  for (const event of events) session = apply(session, event);
  return session;
}

// Tab and line feed may stand in a text; every other control character only does harm in terminals and databases.
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for.
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/;

/** Violations of the one rule that texts of a request share: no control characters but tab and line feed. */
export function textViolations(fields: Readonly<Record<string, string>>): FieldViolation[] {
  return Object.entries(fields)
    .filter(([, text]) => CONTROL.test(text))
    .map(([field]) => ({ field, description: 'must hold no control characters but tab and line feed' }));
}
