/** What the edge counts of whom it lets in, exported when somebody scrapes. */
import type { Metrics } from '../observability.ts';
import type { Admission } from './admission.ts';
import type { Connections } from './connections.ts';
import type { GateState } from './gate.ts';
import type { RateLimiter } from './rate-limit.ts';

export interface EdgeCounted {
  readonly gate: Pick<GateState, 'authFailures'>;
  readonly admission: Admission;
  readonly limiter: RateLimiter;
  readonly connections: Pick<Connections, 'refused' | 'count'>;
}

export function exportEdgeMetrics(
  metrics: Metrics,
  { gate, admission, limiter, connections }: EdgeCounted,
): void {
  const by = (label: string, counts: ReadonlyMap<string, number>) => () =>
    [...counts].map(([name, value]) => ({ value, labels: { [label]: name } }));
  metrics.counter(
    'homeostat_auth_failures_total',
    'Calls refused for their credentials or permissions.',
    ['reason'],
    by('reason', gate.authFailures),
  );
  metrics.counter(
    'homeostat_rate_limited_total',
    'Calls refused because the tokens of their caller were used up.',
    ['tier'],
    by('tier', limiter.limited),
  );
  metrics.gauge('homeostat_rate_buckets', 'Buckets of tokens kept.', [], () => [{ value: limiter.size }]);
  metrics.counter(
    'homeostat_rpc_shed_total',
    'Calls refused because the server was overloaded.',
    ['criticality', 'reason'],
    () =>
      [...admission.shed].map(([key, value]) => {
        const [criticality = '', reason = ''] = key.split(' ');
        return { value, labels: { criticality, reason } };
      }),
  );
  metrics.gauge('homeostat_rpc_limit', 'Unary calls that may be in flight.', [], () => [
    { value: admission.limit },
  ]);
  metrics.gauge('homeostat_overload_ratio', 'How overloaded the server is, 0 to 1.', [], () => [
    { value: admission.overload },
  ]);
  metrics.gauge(
    'homeostat_event_loop_delay_seconds',
    'By how much timers are late, 99th percentile of half a second.',
    [],
    () => [{ value: admission.loopDelayMs / 1000 }],
  );
  metrics.counter(
    'homeostat_rpc_connections_refused_total',
    'Connections refused or dropped, by reason.',
    ['reason'],
    by('reason', connections.refused),
  );
  metrics.gauge('homeostat_rpc_connections', 'Connections open now.', [], () => [
    { value: connections.count() },
  ]);
}
