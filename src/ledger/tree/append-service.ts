/**
 * Appends that come without a transaction of their own share one: up to `entriesMax` of them, or as many as come within
 * `waitMs` of the first. Each is audited in it. One whose kind and key are taken by another payload is refused alone.
 */
import type { Clock, Timer } from '../../clock.ts';
import type { Call } from '../../rpc/handler.ts';
import type { Store } from '../../store/store.ts';
import { ledgerError } from '../errors.ts';
import { type AppendDeps, appendEntries, type NewEntry } from './append-store.ts';

export interface BatchConfig {
  /** Entries of one transaction. */
  readonly entriesMax: number;
  /** How long the first of a batch waits for others. */
  readonly waitMs: number;
}

export interface BatchDeps extends AppendDeps {
  readonly store: Pick<Store, 'transactInTurn'>;
  readonly clock: Clock;
  readonly config: BatchConfig;
}

/** What an append is answered with. */
export interface AppendedEntry {
  readonly index: number;
  readonly leafHash: Uint8Array;
}

export interface Batches {
  /** Resolves once the entry and its audit are committed. Throws ENTRY_CONFLICT, and what the store throws. */
  append(entry: NewEntry, call: Pick<Call, 'audit'>): Promise<AppendedEntry>;
  /** Commits what waits and resolves once nothing is under way. */
  stop(): Promise<void>;
}

interface Waiting {
  readonly entry: NewEntry;
  readonly call: Pick<Call, 'audit'>;
  readonly resolve: (appended: AppendedEntry) => void;
  readonly reject: (error: unknown) => void;
}

export function createBatches(deps: BatchDeps): Batches {
  const { clock, config } = deps;
  const running = new Set<Promise<void>>();
  let queue: Waiting[] = [];
  let timer: Timer | undefined;

  const flush = () => {
    timer?.cancel();
    timer = undefined;
    if (queue.length === 0) return;
    const batch = queue;
    queue = [];
    const run = commit(deps, batch).finally(() => running.delete(run));
    running.add(run);
  };
  return {
    append: (entry, call) =>
      new Promise((resolve, reject) => {
        queue.push({ entry, call, resolve, reject });
        if (queue.length >= config.entriesMax) flush();
        else timer ??= clock.after(config.waitMs, flush, true);
      }),
    async stop() {
      flush();
      await Promise.all(running);
    },
  };
}

/** Never rejects: each of the batch learns what became of it. */
async function commit(deps: BatchDeps, batch: readonly Waiting[]): Promise<void> {
  try {
    const appended = await deps.store.transactInTurn(async (tx) => {
      const outcomes = await appendEntries(
        deps,
        tx,
        batch.map(({ entry }) => entry),
      );
      for (const [i, { entry, call }] of batch.entries())
        if (!('conflict' in outcomes[i]!)) await call.audit(tx, `${entry.kind}/${entry.key}`);
      return outcomes;
    });
    for (const [i, { entry, resolve, reject }] of batch.entries()) {
      const outcome = appended[i]!;
      if ('conflict' in outcome) reject(conflictError(entry, outcome.conflict));
      else resolve(outcome);
    }
  } catch (error) {
    for (const { reject } of batch) reject(error);
  }
}

/** ENTRY_CONFLICT of an entry whose kind and key another payload has. */
export function conflictError({ kind, key }: NewEntry, index: number) {
  return ledgerError('ENTRY_CONFLICT', { kind, key, index });
}
