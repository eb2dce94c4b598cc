/**
 * Best effort: events published to whoever listens now, and listening without acknowledgement. Nothing is kept for
 * anybody, and nothing waits while the broker is away.
 */
import type { DescMessage, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import type { Clock } from '../clock.ts';
import { describeError } from '../errors.ts';
import type { Logger } from '../observability.ts';
import type { BusEvent, Subscription } from './bus.ts';
import type { BusMetrics } from './bus-metrics.ts';
import type { Connection } from './connection.ts';
import { encodeEvent, readEvent } from './event-message.ts';
import { derivedId, eventHeaders, sourceOf } from './headers.ts';
import { encodeToken, eventSubject, type Topic, topicFilter } from './topics.ts';

export interface TransientDeps {
  readonly connection: Connection;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: BusMetrics;
}

export interface TransientEvents {
  publish<Schema extends DescMessage>(
    topic: Topic<Schema>,
    id: string,
    message: MessageInitShape<Schema>,
    traceparent?: string,
  ): void;
  subscribe<Schema extends DescMessage>(
    topic: Topic<Schema>,
    handle: (event: BusEvent<MessageShape<Schema>>) => void,
  ): Subscription;
}

export function createTransientEvents({
  connection,
  clock,
  logger,
  metrics,
}: TransientDeps): TransientEvents {
  let published = 0;
  return {
    publish(topic, id, message, traceparent) {
      if (!connection.connected()) return;
      const type = topic.schema.typeName;
      const headers = eventHeaders({
        id: derivedId(type, `${id}\0${clock.nowMs()}\0${published++}`),
        type,
        source: sourceOf(topic.context),
        publishedAtMs: clock.nowMs(),
        traceparent,
      });
      connection.nats.publish(eventSubject(topic, encodeToken(id)), encodeEvent(topic, message), { headers });
      metrics.messages(topic.name, 'published').value++;
    },
    subscribe(topic, handle) {
      const subscription = connection.nats.subscribe(topicFilter(topic), {
        callback: (_error, raw) => {
          const { event, fault } = readEvent(topic, raw, 0);
          if (!event) {
            metrics.messages(topic.name, 'malformed').value++;
            logger.warn({ topic: topic.name, fault }, 'an event cannot be read');
            return;
          }
          try {
            handle(event);
          } catch (error) {
            logger.error({ topic: topic.name, error: describeError(error) }, 'a listener failed');
          }
        },
      });
      return {
        async stop() {
          subscription.unsubscribe();
        },
      };
    },
  };
}
