/** Turns a context's message into bytes, and a NATS message into the event a context sees, or says why it is none. */
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf';
import type { Msg } from '@nats-io/transport-node';
import { encodeMessage } from '../encode.ts';
import { describeError } from '../errors.ts';
import type { BusEvent } from './bus.ts';
import { readEventHeaders } from './headers.ts';
import type { Topic } from './topics.ts';

/** An event, or the fault that makes the message none. */
export type ReadEvent<Message> =
  | { readonly event: BusEvent<Message>; readonly fault: undefined }
  | { readonly event: undefined; readonly fault: string };

/** Reads a message of a topic; `sequence` is its place in the stream, 0 when it has none. */
export function readEvent<Schema extends DescMessage>(
  topic: Topic<Schema>,
  raw: Msg,
  sequence: number,
): ReadEvent<MessageShape<Schema>> {
  const read = readEventHeaders(raw.headers);
  if (!read) return { event: undefined, fault: 'the CloudEvents headers are missing' };
  try {
    const message = fromBinary(topic.schema, raw.data);
    const { id, publishedAtMs, traceparent } = read;
    return { event: { id, message, sequence, publishedAtMs, traceparent }, fault: undefined };
  } catch (error) {
    return { event: undefined, fault: describeError(error) };
  }
}

export function encodeEvent<Schema extends DescMessage>(
  topic: Topic<Schema>,
  message: MessageInitShape<Schema>,
): Uint8Array {
  return encodeMessage(topic.schema, create(topic.schema, message));
}
