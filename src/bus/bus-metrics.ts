/**
 * What the event edge counts: messages by topic and outcome, lag by topic, alarms by kind. Hot paths increment a plain
 * number of a cell; labels are put together when somebody scrapes.
 */
import type { Metrics, Sample } from '../observability.ts';

/** What became of a message. */
export type Outcome =
  | 'published'
  | 'republished'
  | 'suppressed'
  | 'failed'
  | 'delivered'
  | 'retried'
  | 'malformed'
  | 'dead_lettered';

export type AlarmKind =
  | 'stream_recreated'
  | 'stream_behind_checkpoint'
  | 'consumer_stalled'
  | 'tail_at_risk'
  | 'tail_lost'
  | 'broker_lost_events';

/** A running total; owners on hot paths keep the cell and add to it. */
export interface Cell {
  value: number;
}

export interface BusMetrics {
  messages(topic: string, outcome: Outcome): Cell;
  alarm(kind: AlarmKind): Cell;
  /** Exports a lag until the returned function is called. */
  trackLag(topic: string, lag: () => number): () => void;
}

export function createBusMetrics(metrics: Metrics): BusMetrics {
  const messages = new Map<string, Map<Outcome, Cell>>();
  const alarms = new Map<AlarmKind, Cell>();
  const lags = new Map<() => number, string>();
  metrics.counter(
    'homeostat_bus_messages_total',
    'Messages at the event edge.',
    ['topic', 'outcome'],
    function* () {
      for (const [topic, outcomes] of messages)
        for (const [outcome, { value }] of outcomes) yield { value, labels: { topic, outcome } };
    },
  );
  metrics.counter('homeostat_bus_alarms_total', 'Alarms of the event edge.', ['kind'], function* () {
    for (const [kind, { value }] of alarms) yield { value, labels: { kind } };
  });
  metrics.gauge(
    'homeostat_bus_lag_messages',
    'Messages in the stream not yet handed over.',
    ['topic'],
    function* () {
      for (const [lag, topic] of lags) yield { value: lag(), labels: { topic } } satisfies Sample;
    },
  );
  return {
    messages: (topic, outcome) =>
      cellOf(
        entryOf(messages, topic, () => new Map<Outcome, Cell>()),
        outcome,
      ),
    alarm: (kind) => cellOf(alarms, kind),
    trackLag(topic, lag) {
      lags.set(lag, topic);
      return () => lags.delete(lag);
    },
  };
}

function cellOf<Key>(cells: Map<Key, Cell>, key: Key): Cell {
  return entryOf(cells, key, () => ({ value: 0 }));
}

function entryOf<Key, Value>(map: Map<Key, Value>, key: Key, make: () => Value): Value {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
