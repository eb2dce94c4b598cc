/** Dead events: recorded events that a consumer could not take, kept 7 days with the consumer, the reason, the cause. */
import { headers, type Msg } from '@nats-io/transport-node';
import { oneLine } from './headers.ts';
import type { Publisher } from './publisher.ts';
import { deadEventSubject } from './topics.ts';

export type DeadEventReason = 'MALFORMED' | 'HANDLER_FAILED';

/** Resolves once the broker holds it. The event keeps its payload and its own headers. */
export async function writeDeadEvent(
  publisher: Publisher,
  durable: string,
  sequence: number,
  raw: Msg,
  reason: DeadEventReason,
  detail: string,
): Promise<void> {
  const made = headers();
  for (const key of raw.headers?.keys() ?? [])
    if (!key.startsWith('Nats-')) made.set(key, raw.headers!.get(key));
  made.set('homeostat-subject', raw.subject);
  made.set('homeostat-reasons', reason);
  made.set('homeostat-detail', oneLine(detail));
  await publisher.publish(deadEventSubject(durable, sequence), raw.data, made);
}
