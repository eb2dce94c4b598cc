/**
 * Feeds a recording to a broker, as fast as that acknowledges or at a multiple of the recording's own time. Memory is
 * bounded by the producer's window; the server is not involved, so it may restart meanwhile.
 */
import type { Producer } from '../bus/producer.ts';
import { type Clock, delay } from '../clock.ts';
import type { BatchEncoder, Encoded } from './batches.ts';
import type { Recording } from './recording.ts';

export interface Fed {
  /** Samples and messages that the broker acknowledged. */
  samples: number;
  messages: number;
  /** Place of the last message in the broker's stream. */
  lastSequence: number;
  /** Event times of the first and the newest instant; NaN before there is one. */
  firstMs: number;
  newestMs: number;
}

export interface FeedOptions {
  readonly recording: Recording;
  readonly encoder: BatchEncoder;
  readonly producer: Producer;
  readonly clock: Clock;
  /** Seconds of event time per second; Infinity for as fast as possible. */
  readonly rate: number;
  readonly signal: AbortSignal;
  /** Called after each instant handed over. */
  readonly onInstant: (fed: Readonly<Fed>) => void;
}

/**
 * Hands over every instant and then the end of the input; resolves when all of it is acknowledged. When the signal
 * aborts, the producer is closed and it resolves early, without the end. Rejects when the broker refuses a message for
 * good.
 */
export async function feedRecording(options: FeedOptions): Promise<Fed> {
  const { recording, encoder, producer, clock, rate, signal } = options;
  const fed: Fed = { samples: 0, messages: 0, lastSequence: 0, firstMs: Number.NaN, newestMs: Number.NaN };
  let refusal: unknown;
  const send = ({ subject, payload, sampleCount }: Encoded): void => {
    producer.publish(subject, payload).then(
      (sequence) => {
        fed.samples += sampleCount;
        fed.messages++;
        if (sequence > fed.lastSequence) fed.lastSequence = sequence;
      },
      (error: unknown) => {
        refusal ??= error;
      },
    );
  };
  signal.addEventListener('abort', () => void producer.close(), { once: true });
  const startedMs = clock.monotonicMs();
  let endNode = '_';
  for await (const instant of recording.instants()) {
    if (Number.isNaN(fed.firstMs)) fed.firstMs = instant.timeMs;
    const dueMs = startedMs + (instant.timeMs - fed.firstMs) / rate;
    if (dueMs > clock.monotonicMs()) await delay(clock, dueMs - clock.monotonicMs(), signal);
    for (const batch of encoder.encode(instant, recording.metrics)) {
      await producer.ready();
      send(batch);
    }
    fed.newestMs = Number.isNaN(fed.newestMs) ? instant.timeMs : Math.max(fed.newestMs, instant.timeMs);
    for (const node of instant.nodes.keys()) endNode = node;
    options.onInstant(fed);
    if (signal.aborted || refusal !== undefined) break;
  }
  if (!Number.isNaN(fed.newestMs) && !signal.aborted && refusal === undefined)
    send(encoder.encodeEnd(fed.newestMs, endNode));
  await producer.idle();
  if (refusal !== undefined && !signal.aborted) throw refusal;
  return fed;
}
