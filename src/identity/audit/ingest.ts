/**
 * How calls become entries. A REQUIRED call gets its own, in its command's transaction or in one of ours before its
 * reply; those that wait for the latter at the same time share a transaction. All other audited calls are summed, and
 * each minute ends with one entry per sum. A minute that cannot be written is summed with the next, so an outage of
 * the database costs the minute's border but no call.
 */
import type { Clock, Timer } from '../../clock.ts';
import { describeError } from '../../errors.ts';
import type { Logger } from '../../observability.ts';
import type { AuditRecord, AuditSink } from '../../rpc/audit.ts';
import { identityError } from '../../rpc/errors.ts';
import type { Store, Tx } from '../../store/store.ts';
import { appendEntries } from './audit-store.ts';
import type { Draft, Link } from './entry.ts';
import { type Sum, type SumLimits, Sums } from './sums.ts';

export interface IngestDeps {
  readonly limits: SumLimits;
  readonly clock: Clock;
  readonly store: Pick<Store, 'transactInTurn'>;
  readonly logger: Logger;
  /** Told after each commit how many entries were added, and the head at that time. */
  readonly onAppended: (count: number, head: Link) => void;
}

export interface Ingest extends AuditSink {
  start(): void;
  /** Writes what is summed so far; nothing may be counted afterwards. */
  stop(): Promise<void>;
}

const MINUTE_MS = 60_000;

/** Entries of one transaction: few enough not to hold the event loop for long. */
const BATCH = 200;

/** When a call refused for want of its entry may be tried again. */
const RETRY_MS = 1_000;

const NO_BYTES = new Uint8Array(0);

interface Waiting {
  readonly draft: Draft;
  resolve(): void;
  reject(error: unknown): void;
}

export function createIngest(deps: IngestDeps): Ingest {
  const { clock, store, logger } = deps;
  const sums = new Sums(deps.limits);
  const commit = createCommitter(deps);
  let minuteEndsMs = 0;
  let timer: Timer | undefined;
  let writing: Promise<void> = Promise.resolve();

  const write = async (taken: readonly Sum[], atMs: number) => {
    for (let start = 0; start < taken.length; start += BATCH) {
      const batch = taken.slice(start, start + BATCH);
      try {
        await store.transactInTurn((tx) =>
          append(
            deps,
            tx,
            batch.map((sum) => summedDraft(sum, atMs)),
          ),
        );
      } catch (error) {
        for (const sum of batch) sums.add(sum, sum.count);
        logger.warn({ cause: describeError(error), sums: batch.length }, 'summed calls were not written');
      }
    }
  };
  const endMinute = (atMs: number) => {
    const taken = sums.take();
    if (taken.length > 0) writing = writing.then(() => write(taken, atMs));
  };
  const awaitMinute = () => {
    const nowMs = clock.nowMs();
    minuteEndsMs = (Math.floor(nowMs / MINUTE_MS) + 1) * MINUTE_MS;
    const tick = () => {
      endMinute(minuteEndsMs);
      awaitMinute();
    };
    timer = clock.after(minuteEndsMs - nowMs, tick, true);
  };

  return {
    record: (tx, record) => append(deps, tx, [draftOf(record, clock.nowMs())]),
    commit: (record) => commit(draftOf(record, clock.nowMs())),
    count: (call) => sums.add(call),
    start: awaitMinute,
    async stop() {
      timer?.cancel();
      await writing;
      endMinute(Math.min(minuteEndsMs, Math.floor(clock.nowMs())));
      await writing;
    },
  };
}

/** Commits drafts in transactions of their own; those that come while one is under way share the next. */
function createCommitter(deps: IngestDeps): (draft: Draft) => Promise<void> {
  const waiting: Waiting[] = [];
  let running = false;

  const run = async () => {
    running = true;
    while (waiting.length > 0) {
      const batch = waiting.splice(0, BATCH);
      try {
        await deps.store.transactInTurn((tx) =>
          append(
            deps,
            tx,
            batch.map(({ draft }) => draft),
          ),
        );
        for (const { resolve } of batch) resolve();
      } catch (error) {
        const refusal = identityError('AUDIT_UNAVAILABLE', {}, { retryAfterMs: RETRY_MS, cause: error });
        for (const { reject } of batch) reject(refusal);
      }
    }
    running = false;
  };
  return (draft) =>
    new Promise((resolve, reject) => {
      waiting.push({ draft, resolve, reject });
      if (!running) void run();
    });
}

async function append(deps: IngestDeps, tx: Tx, drafts: readonly Draft[]): Promise<void> {
  const head = await appendEntries(tx, drafts);
  tx.afterCommit(() => deps.onAppended(drafts.length, head));
}

function draftOf(record: AuditRecord, nowMs: number): Draft {
  const { principal, method, resource, code, reason, requestDigest, peer, requestId } = record;
  const facts = { principal, method, resource, code, reason, requestDigest, peer, requestId };
  return { ...facts, occurredAtMs: Math.floor(nowMs), count: 1 };
}

function summedDraft(sum: Sum, occurredAtMs: number): Draft {
  const { principal, method, code, reason, peer, count } = sum;
  const unknown = { resource: '', requestDigest: NO_BYTES, requestId: '' };
  return { principal, method, code, reason, peer, count, ...unknown, occurredAtMs };
}
