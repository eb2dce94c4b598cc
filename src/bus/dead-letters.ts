/**
 * Dead letters of telemetry: messages or parts of them that could not be taken, with their reasons, kept 7 days. A
 * letter is written before the acknowledgement that covers it; written twice, it is one letter.
 */
import { AckPolicy, DeliverPolicy } from '@nats-io/jetstream';
import { headers, type Msg, nanos } from '@nats-io/transport-node';
import type { Clock } from '../clock.ts';
import type { AppError } from '../errors.ts';
import type { DeadLetter } from './bus.ts';
import type { BusMetrics } from './bus-metrics.ts';
import type { Connection } from './connection.ts';
import { brokerDown } from './errors.ts';
import { MESSAGE_ID, oneLine } from './headers.ts';
import type { Publisher } from './publisher.ts';
import { nextSubject, readDelivery } from './pull.ts';
import { DEAD_LETTERS_STREAM } from './streams.ts';
import { DEAD_LETTER_FILTER, deadLetterSubject } from './topics.ts';

/** Letters under way to the broker at a time. */
const WRITE_AHEAD = 4_096;
/** Letters asked for at a time while listing. */
const PAGE = 256;
const PAGE_BYTES_MAX = 4 * 1024 * 1024;
/** How long the broker keeps a listing that was given up. */
const ABANDONED_MS = 30_000;
/** How long a page may take. */
const PAGE_TIMEOUT_MS = 5_000;

const SUBJECT = 'homeostat-subject';
const RECEIVED = 'homeostat-received-ms';
const REASONS = 'homeostat-reasons';
const DETAIL = 'homeostat-detail';
const WHOLE = 'homeostat-whole';

/** Resolves once the broker holds all of them. */
export async function writeDeadLetters(
  publisher: Publisher,
  metrics: BusMetrics,
  letters: readonly DeadLetter[],
): Promise<void> {
  for (let from = 0; from < letters.length; from += WRITE_AHEAD)
    await Promise.all(letters.slice(from, from + WRITE_AHEAD).map((letter) => writeOne(publisher, letter)));
  metrics.messages('telemetry', 'dead_lettered').value += letters.length;
}

function writeOne(publisher: Publisher, letter: DeadLetter): Promise<unknown> {
  const made = headers();
  made.set(MESSAGE_ID, `dead-${letter.sequence}-${letter.receivedAtMs}`);
  made.set(SUBJECT, letter.subject);
  made.set(RECEIVED, String(letter.receivedAtMs));
  made.set(REASONS, letter.reasons);
  made.set(DETAIL, oneLine(letter.detail));
  made.set(WHOLE, String(letter.whole));
  return publisher.publish(deadLetterSubject(letter.sequence), letter.payload, made);
}

export type ListedLetter = DeadLetter & { readonly place: number };

/** Letters after a place in their stream, oldest first. Reads on until `limit` of them match. O(letters read). */
export async function listDeadLetters(
  connection: Connection,
  clock: Clock,
  options: { readonly after: number; readonly limit: number; readonly subjectPrefix?: string },
): Promise<readonly ListedLetter[]> {
  const { after, limit, subjectPrefix = '' } = options;
  const { consumers } = connection.manager;
  const { name } = await consumers.add(DEAD_LETTERS_STREAM, {
    ack_policy: AckPolicy.None,
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: after + 1,
    filter_subject: DEAD_LETTER_FILTER,
    inactive_threshold: nanos(ABANDONED_MS),
    mem_storage: true,
  });
  const found: ListedLetter[] = [];
  try {
    let left = 1;
    while (found.length < limit && left > 0) {
      const page = await readPage(connection, clock, name, Math.min(PAGE, limit));
      if (page.length === 0) break;
      for (const message of page) {
        const { sequence, pending } = readDelivery(message.reply!);
        left = pending;
        const letter = readLetter(message, sequence);
        if (found.length < limit && letter.subject.startsWith(subjectPrefix)) found.push(letter);
      }
    }
  } finally {
    await consumers.delete(DEAD_LETTERS_STREAM, name);
  }
  return found;
}

/** One page; shorter than asked for when there are no more letters now, or they are beyond the page's bytes. */
function readPage(
  connection: Connection,
  clock: Clock,
  consumer: string,
  batch: number,
): Promise<readonly Msg[]> {
  return new Promise((resolve, reject) => {
    const page: Msg[] = [];
    const inbox = connection.inbox();
    const finish = (error?: AppError) => {
      timer.cancel();
      subscription.unsubscribe();
      if (error) reject(error);
      else resolve(page);
    };
    const timer = clock.after(PAGE_TIMEOUT_MS, () => finish(brokerDown('no answer in time')));
    const subscription = connection.nats.subscribe(inbox, {
      callback: (_error, message) => {
        const isLetter = message.reply !== '';
        if (isLetter) page.push(message);
        if (!isLetter || page.length === batch) finish();
      },
    });
    const request = JSON.stringify({ batch, no_wait: true, max_bytes: PAGE_BYTES_MAX });
    connection.nats.publish(nextSubject(DEAD_LETTERS_STREAM, consumer), request, { reply: inbox });
  });
}

function readLetter(message: Msg, place: number): ListedLetter {
  const given = (key: string) => message.headers?.get(key) ?? '';
  return {
    place,
    sequence: Number(message.subject.slice(message.subject.lastIndexOf('.') + 1)),
    subject: given(SUBJECT),
    receivedAtMs: Number(given(RECEIVED)),
    payload: new Uint8Array(message.data), // A copy: the data borrows a whole read of the socket.
    reasons: given(REASONS),
    detail: given(DETAIL),
    whole: given(WHOLE) === 'true',
  };
}
