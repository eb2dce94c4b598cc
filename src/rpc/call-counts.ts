/**
 * What is counted of calls (rate, errors, duration): plain numbers per method, exported when somebody scrapes. The
 * distribution of durations holds unary calls; a stream lasts as long as its client likes.
 */
import { status } from '@grpc/grpc-js';
import type { Metrics, Sample } from '../observability.ts';

/** Upper bounds of the duration buckets in seconds; the last bucket has none. */
const BUCKETS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];

export interface CallCounts {
  /** Finished calls by gRPC code. */
  readonly byCode: number[];
  /** Unary calls by duration bucket, not cumulated. */
  readonly byDuration: number[];
  durationSumMs: number;
  inFlight: number;
}

export function newCallCounts(): CallCounts {
  return {
    byCode: new Array<number>(17).fill(0),
    byDuration: new Array<number>(BUCKETS_SECONDS.length + 1).fill(0),
    durationSumMs: 0,
    inFlight: 0,
  };
}

/** Adds the duration of a unary call. */
export function countDuration(counts: CallCounts, durationMs: number): void {
  let bucket = 0;
  while (bucket < BUCKETS_SECONDS.length && durationMs > BUCKETS_SECONDS[bucket]! * 1000) bucket++;
  counts.byDuration[bucket]!++;
  counts.durationSumMs += durationMs;
}

interface Counted {
  readonly service: string;
  readonly name: string;
  readonly counts: CallCounts;
}

/** Exports the counts of all methods; those never called stay out. */
export function exportCallCounts(metrics: Metrics, methods: () => Iterable<Counted>): void {
  const each = (samplesOf: (counts: CallCounts, labels: Record<string, string>) => Iterable<Sample>) =>
    function* () {
      for (const { service, name, counts } of methods()) yield* samplesOf(counts, { service, method: name });
    };
  const labels = ['service', 'method'];
  const called = (counts: CallCounts) => counts.byDuration.some((count) => count > 0);
  metrics.counter(
    'homeostat_rpc_requests_total',
    'Finished calls by code.',
    [...labels, 'code'],
    each(function* (counts, at) {
      for (const [code, value] of counts.byCode.entries())
        if (value > 0) yield { value, labels: { ...at, code: status[code]! } };
    }),
  );
  metrics.gauge(
    'homeostat_rpc_in_flight',
    'Calls under way.',
    labels,
    each(function* (counts, at) {
      if (counts.inFlight > 0 || counts.byCode.some((count) => count > 0))
        yield { value: counts.inFlight, labels: at };
    }),
  );
  metrics.counter(
    'homeostat_rpc_duration_seconds_bucket',
    'Unary calls that took at most `le` seconds.',
    [...labels, 'le'],
    each(function* (counts, at) {
      if (!called(counts)) return;
      let value = 0;
      for (const [bucket, count] of counts.byDuration.entries()) {
        value += count;
        yield { value, labels: { ...at, le: String(BUCKETS_SECONDS[bucket] ?? '+Inf') } };
      }
    }),
  );
  metrics.counter(
    'homeostat_rpc_duration_seconds_sum',
    'Seconds that unary calls took together.',
    labels,
    each(function* (counts, at) {
      if (called(counts)) yield { value: counts.durationSumMs / 1000, labels: at };
    }),
  );
  metrics.counter(
    'homeostat_rpc_duration_seconds_count',
    'Unary calls measured.',
    labels,
    each(function* (counts, at) {
      if (called(counts))
        yield { value: counts.byDuration.reduce((sum, count) => sum + count, 0), labels: at };
    }),
  );
}
