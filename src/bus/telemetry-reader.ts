/** Reads the TELEMETRY stream beside the durable consumer, for those who watch: in order, unacknowledged, bounded. */
import { DeliverPolicy, jetstream } from '@nats-io/jetstream';
import { type RawMessage, TelemetryTooOldError } from './bus.ts';
import type { Connection } from './connection.ts';
import { brokerDown } from './errors.ts';
import { streamState, TELEMETRY_STREAM } from './streams.ts';

/** Messages a slow reader may have waiting here. */
const AHEAD_MAX = 256;

export interface ReadOptions {
  readonly filter: string;
  readonly startSequence?: number;
  readonly signal: AbortSignal;
}

/** Each message is the reader's own. Ends when the signal aborts; throws TelemetryTooOldError or BROKER_DOWN. */
export async function* readTelemetry(
  connection: Connection,
  options: ReadOptions,
): AsyncGenerator<RawMessage> {
  const { filter, startSequence, signal } = options;
  const info = await connection.whileConnected(() => streamState(connection.manager, TELEMETRY_STREAM));
  if (!info) throw brokerDown('there is no stream of telemetry');
  if (startSequence !== undefined && startSequence < info.state.first_seq)
    throw new TelemetryTooOldError(startSequence, info.state.first_seq);
  if (signal.aborted) return;
  const consumer = await jetstream(connection.nats).consumers.get(TELEMETRY_STREAM, {
    filter_subjects: filter,
    ...(startSequence === undefined
      ? { deliver_policy: DeliverPolicy.New }
      : { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: Math.max(1, startSequence) }),
  });
  const messages = await consumer.consume({ max_messages: AHEAD_MAX });
  const stop = () => messages.stop();
  signal.addEventListener('abort', stop, { once: true });
  try {
    for await (const message of messages) {
      if (signal.aborted) return;
      yield {
        subject: message.subject,
        data: message.data,
        sequence: message.seq,
        receivedAtMs: Math.floor(message.info.timestampNanos / 1e6),
      };
    }
  } finally {
    signal.removeEventListener('abort', stop);
    messages.stop();
    if (connection.connected()) await consumer.delete().catch(() => false); // It expires on its own otherwise.
  }
}
