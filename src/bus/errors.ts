/**
 * What goes wrong at the event edge. Refusals that a call can meet carry the edge's domain, since every service gives
 * them alike; failures to start carry a domain of their own and never reach the wire.
 */
import { type AppError, defineErrors, describeError, reason } from '../errors.ts';

/** How long a caller waits before it tries the broker again, ms. */
const BROKER_RETRY_AFTER_MS = 1_000;

/** Refusals a call can meet; reasons and metadata are those of `homeostat.edge.v1.ErrorReason`. */
const edgeError = defineErrors('homeostat.edge', {
  BROKER_DOWN: reason('UNAVAILABLE', [], () => 'the broker does not answer'),
  STORAGE_FULL: reason('RESOURCE_EXHAUSTED', [], () => 'the disk of the broker is full'),
  OVERLOADED: reason(
    'RESOURCE_EXHAUSTED',
    ['limit'],
    ({ limit }) => `more than ${limit} messages wait for the broker`,
  ),
});

/** The broker does not answer, for a reason that is told in the log only. */
export function brokerDown(detail: string): AppError {
  return edgeError('BROKER_DOWN', {}, { retryAfterMs: BROKER_RETRY_AFTER_MS, cause: new Error(detail) });
}

/** The broker has no room, in its own words. */
export function brokerFull(detail: string): AppError {
  return edgeError('STORAGE_FULL', {}, { retryAfterMs: BROKER_RETRY_AFTER_MS, cause: new Error(detail) });
}

/** More messages wait for an acknowledgement than may. */
export function brokerOverloaded(limit: number): AppError {
  return edgeError('OVERLOADED', { limit }, { retryAfterMs: BROKER_RETRY_AFTER_MS });
}

/** Text of an error for the log: its own, and that of its cause. */
export function explain(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause === undefined ? describeError(error) : `${describeError(error)}: ${describeError(cause)}`;
}

/** Why the event edge cannot start; each text is one sentence that says what to do. */
export const startError = defineErrors('homeostat.bus', {
  NATS_SERVER_MISSING: reason(
    'FAILED_PRECONDITION',
    ['remedy'],
    ({ remedy }) => `No nats-server was found and HOMEOSTAT_NATS_URL is not set: ${remedy}`,
  ),
  BROKER_UNREACHABLE: reason(
    'UNAVAILABLE',
    ['address', 'detail'],
    ({ address, detail }) => `The NATS server at ${address} cannot be used: ${detail}.`,
  ),
  BROKER_PORT_TAKEN: reason(
    'FAILED_PRECONDITION',
    ['port'],
    ({ port }) => `Port ${port} for the managed nats-server is taken by another program.`,
  ),
  BROKER_FAILED: reason(
    'UNAVAILABLE',
    ['detail', 'log'],
    ({ detail, log }) => `The managed nats-server did not start: ${detail} (its log is ${log}).`,
  ),
  DATA_DIRECTORY_UNUSABLE: reason(
    'FAILED_PRECONDITION',
    ['directory', 'detail'],
    ({ directory, detail }) => `The data directory ${directory} cannot be written: ${detail}.`,
  ),
});
