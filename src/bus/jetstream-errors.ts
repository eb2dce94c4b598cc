/** Reads the broker's error codes. Nobody compares its texts. */
import { JetStreamApiCodes, JetStreamApiError } from '@nats-io/jetstream';

/** No stream of this name. */
export function isStreamMissing(error: unknown): boolean {
  return error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamNotFound;
}

/** No consumer of this name. */
export function isConsumerMissing(error: unknown): boolean {
  return error instanceof JetStreamApiError && error.code === JetStreamApiCodes.ConsumerNotFound;
}

/** Codes by which JetStream says that it has no room left. */
const STORAGE_CODES = new Set([10023, 10028, 10047, 10077]);

/** Whether an acknowledgement refused for lack of room. */
export function isStorageFull(code: number): boolean {
  return STORAGE_CODES.has(code);
}
