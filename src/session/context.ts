/**
 * The door of session: admits work and keeps its lifecycle. Everything that matters is in SQL, so any number of servers
 * may work on one database; memory holds counters only.
 */
import type { Bus, Subscription } from '../bus/bus.ts';
import type { Clock, Timer } from '../clock.ts';
import { describeError } from '../errors.ts';
import type { NewId } from '../ids.ts';
import type { Logger, Metrics, Sample } from '../observability.ts';
import type { ServiceBinding } from '../rpc/handler.ts';
import type { Store, Tx } from '../store/store.ts';
import type { AdmissionLimits } from './admission.ts';
import { followDefenseLevel } from './ingest.ts';
import type { Counters } from './publish.ts';
import { createSessionService } from './service.ts';
import type { Priority } from './session.ts';
import { countAdmitted } from './store.ts';
import { expireOverdue } from './sweep.ts';

export { sessionMigrations } from './store.ts';

export interface SessionConfig extends AdmissionLimits {
  /** A session not started within this expires; default 3,600,000. */
  readonly startWithinMs: number;
  /** Retry delay told to who was refused; default 60,000. */
  readonly retryAfterMs: number;
  /** How often overdue sessions are looked for and sessions are counted; default 5,000. */
  readonly sweepIntervalMs: number;
}

/** Finds room for sessions. Both take part in the caller's transaction: what it rolls back was never reserved. */
export interface Placement {
  /** Reserves room. `nodeId` where a node was chosen; `retryAfterMs` where the provider knows when to try again. */
  reserve(
    request: { readonly sessionId: string; readonly owner: string; readonly priority: Priority },
    tx: Tx,
  ): Promise<
    | { readonly placed: true; readonly nodeId?: string }
    | { readonly placed: false; readonly retryAfterMs?: number }
  >;
  /** Gives back what was reserved; nothing happens when nothing is. */
  release(sessionId: string, tx: Tx): Promise<void>;
}

/** Keeps what must be provable. `kind` is this context's own name for it; (kind, key) is appended once. */
export interface Ledger {
  append(tx: Tx, kind: string, key: string, bytes: Uint8Array): Promise<unknown>;
}

/** What session needs of the bus. */
export type SessionBus = Pick<Bus, 'record' | 'publish' | 'consume'>;

export interface SessionDeps {
  readonly config: SessionConfig;
  readonly clock: Clock;
  readonly store: Store;
  readonly bus: SessionBus;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly newId: NewId;
  readonly placement: Placement;
  readonly ledger: Ledger;
}

export interface Sessions {
  readonly services: readonly ServiceBinding[];
  /** Ends what is overdue, then follows the defense level. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

export function createSession(deps: SessionDeps): Sessions {
  const { config, clock, store, bus, logger, metrics, placement } = deps;
  const { counters, setAdmitted } = createCounters(metrics);
  let subscription: Subscription | undefined;
  let timer: Timer | undefined;
  let sweeping: Promise<void> | undefined;

  const sweep = async () => {
    const expired = await expireOverdue({ clock, store, bus, counters, placement });
    if (expired > 0) logger.info({ expired }, 'sessions expired');
    setAdmitted(await countAdmitted(store));
  };
  const sweepOnce = () => {
    sweeping ??= sweep()
      // The next sweep finds what this one left.
      .catch((error) => logger.warn({ cause: describeError(error) }, 'overdue sessions were not ended'))
      .finally(() => {
        sweeping = undefined;
      });
  };

  return {
    services: [createSessionService({ ...deps, counters })],
    async start() {
      await sweep();
      subscription = await followDefenseLevel({ store, bus, logger });
      timer = clock.every(config.sweepIntervalMs, sweepOnce);
    },
    async stop() {
      timer?.cancel();
      await subscription?.stop();
      subscription = undefined;
      await sweeping;
    },
  };
}

/** Plain numbers, read when somebody scrapes. Sessions are those counted by the last sweep. */
function createCounters(metrics: Metrics) {
  const changes = new Map<string, number>();
  const refusals = new Map<string, number>();
  let admitted: ReadonlyMap<string, number> = new Map();

  const add = (counts: Map<string, number>, name: string) => counts.set(name, (counts.get(name) ?? 0) + 1);
  const samples = (counts: ReadonlyMap<string, number>, label: string): Sample[] =>
    [...counts].map(([name, value]) => ({ value, labels: { [label]: name } }));

  metrics.gauge('homeostat_sessions', 'Sessions that take a place in the limits.', ['state'], () =>
    samples(admitted, 'state'),
  );
  metrics.counter('homeostat_session_changes_total', 'Changes of state made by this server.', ['to'], () =>
    samples(changes, 'to'),
  );
  metrics.counter(
    'homeostat_session_refusals_total',
    'Sessions not admitted by this server.',
    ['cause'],
    () => samples(refusals, 'cause'),
  );
  const counters: Counters = {
    changed: (to) => void add(changes, to),
    refused: (cause) => void add(refusals, cause),
  };
  const setAdmitted = (counts: ReadonlyMap<string, number>) => {
    admitted = counts;
  };
  return { counters, setAdmitted };
}
