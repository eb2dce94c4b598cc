/**
 * Whether unread telemetry is about to be dropped by the limits of its stream, by age or by bytes. Better an alarm
 * while somebody can act than a gap found afterwards.
 */
import type { JetStreamManager, StreamInfo } from '@nats-io/jetstream';
import { TELEMETRY_AGE_MS, TELEMETRY_STREAM } from './streams.ts';

/** Share of the stream's age or bytes from which on an unread tail is at risk. */
const AT_RISK = 0.9;

export interface TailRisk {
  /** Messages not acknowledged. */
  readonly unread: number;
  /** What they take in the stream, estimated from the mean. */
  readonly bytes: number;
  /** Age of the oldest of them. */
  readonly ageMs: number;
}

/** The risk when there is one. Asks the broker for one message at most. */
export async function tailAtRisk(
  manager: JetStreamManager,
  { state, config }: StreamInfo,
  acknowledged: number,
  nowMs: number,
): Promise<TailRisk | undefined> {
  const oldestUnread = Math.max(acknowledged + 1, state.first_seq);
  const unread = state.last_seq - oldestUnread + 1;
  if (unread <= 0 || state.messages === 0) return undefined;
  const bytes = Math.min(1, unread / state.messages) * state.bytes;
  const oldest = await manager.streams.getMessage(TELEMETRY_STREAM, { seq: oldestUnread });
  const ageMs = oldest ? nowMs - Date.parse(oldest.timestamp) : 0;
  const isNearBytes = config.max_bytes > 0 && bytes >= AT_RISK * config.max_bytes;
  return isNearBytes || ageMs >= AT_RISK * TELEMETRY_AGE_MS ? { unread, bytes, ageMs } : undefined;
}
