/**
 * Message headers after the CloudEvents NATS binding (`ce-id`, `ce-type`, `ce-source`, `ce-time`, `ce-specversion`,
 * `content-type`) plus the W3C `traceparent`, and the event's own id, which the same topic and key always give.
 */
import { createHash } from 'node:crypto';
import { headers, type MsgHdrs } from '@nats-io/transport-node';

/** What an event's headers say. */
export interface EventHeaders {
  readonly id: string;
  /** Full protobuf name of the message. */
  readonly type: string;
  readonly source: string;
  /** Wall time of publishing, milliseconds since 1970. */
  readonly publishedAtMs: number;
  readonly traceparent: string | undefined;
}

/** `Nats-Msg-Id`: what the broker suppresses repeats by. */
export const MESSAGE_ID = 'Nats-Msg-Id';

/** Headers of one event. */
export function eventHeaders(event: EventHeaders): MsgHdrs {
  const made = headers();
  made.set('ce-id', event.id);
  made.set('ce-type', event.type);
  made.set('ce-source', event.source);
  made.set('ce-time', new Date(event.publishedAtMs).toISOString());
  made.set('ce-specversion', '1.0');
  made.set('content-type', 'application/protobuf');
  if (event.traceparent !== undefined) made.set('traceparent', event.traceparent);
  return made;
}

/** Reads them back; undefined when the required ones are missing or malformed, so that the message is no event. */
export function readEventHeaders(given: MsgHdrs | undefined): EventHeaders | undefined {
  if (!given) return undefined;
  const id = given.get('ce-id');
  const type = given.get('ce-type');
  const publishedAtMs = Date.parse(given.get('ce-time'));
  if (id === '' || type === '' || Number.isNaN(publishedAtMs)) return undefined;
  const traceparent = given.get('traceparent') || undefined;
  return { id, type, source: given.get('ce-source'), publishedAtMs, traceparent };
}

/** Where events of a context come from. */
export function sourceOf(context: string): string {
  return `/homeostat/${context}`;
}

/** UUIDv8 (RFC 9562) of the first 122 bits of SHA-256 over the message type and the key. */
export function derivedId(type: string, key: string): string {
  const digest = createHash('sha256').update(`${type}\0${key}`).digest();
  digest[6] = (digest[6]! & 0x0f) | 0x80;
  digest[8] = (digest[8]! & 0x3f) | 0x80;
  const hex = digest.toString('hex', 0, 16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** Header values hold one line; longer texts are cut. */
export function oneLine(text: string): string {
  return text.replace(/[\r\n]+/g, ' ').slice(0, 1_000);
}
