/**
 * The audit trail of a server: takes what the edge tells (`sink`), keeps it as one chain of hashes in SQL, puts its
 * head into the ledger, removes what is too old, and answers AuditService. Any number of servers share one chain.
 * Memory holds only the sums of the running minute.
 */
import type { Clock } from '../../clock.ts';
import type { Logger, Metrics } from '../../observability.ts';
import type { AuditSink } from '../../rpc/audit.ts';
import type { ServiceBinding } from '../../rpc/handler.ts';
import { type AuditServiceDeps, createAuditService } from './audit-service.ts';
import { createIngest } from './ingest.ts';
import type { SumLimits } from './sums.ts';
import { createSweep, type SweepConfig } from './sweep.ts';

export interface AuditConfig extends SumLimits, SweepConfig {
  /** How long a new anchor may take until it can be proven, 1,000 or more; default 10,000. */
  readonly proofWaitMs: number;
}

export interface AuditDeps extends Omit<AuditServiceDeps, 'proofWaitMs'> {
  readonly config: AuditConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

export interface Audit {
  readonly sink: AuditSink;
  readonly service: ServiceBinding;
  /** Begins to end minutes and to anchor. The sink takes calls before that already. */
  start(): Promise<void>;
  /** Writes what is summed, after the last call was answered and before the store closes. */
  stop(): Promise<void>;
}

export function createAudit(deps: AuditDeps): Audit {
  const { config, metrics } = deps;
  let entries = 0;
  const sweep = createSweep(deps);
  const ingest = createIngest({
    ...deps,
    limits: config,
    onAppended(count, head) {
      entries += count;
      sweep.noticed(head.sequence);
    },
  });
  metrics.counter(
    'homeostat_audit_entries_total',
    'Entries this server added to the audit trail.',
    [],
    () => [{ value: entries }],
  );
  return {
    sink: { record: ingest.record, commit: ingest.commit, count: ingest.count },
    service: createAuditService({ ...deps, proofWaitMs: config.proofWaitMs }),
    async start() {
      await sweep.start();
      ingest.start();
    },
    async stop() {
      await ingest.stop();
      await sweep.stop();
    },
  };
}
