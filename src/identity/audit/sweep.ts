/**
 * What is done about the chain as time passes: its head enters the ledger before the oldest entry that is in no anchor
 * has waited `anchorIntervalMs`, or once `anchorEntriesMax` wait, and entries older than `retentionMs` are removed.
 * Everything is decided inside a transaction by what is stored, so any number of servers may do it on one database: an
 * entry is anchored and removed once.
 *
 * Entries are removed from one anchor to the next. First the stub moves to the anchor, from where verification goes on
 * from then on; the entries before it go in steps of `STEP_ENTRIES`, over as many transactions as it takes.
 */
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Bus } from '../../bus/bus.ts';
import { topics } from '../../bus/topics.ts';
import type { Clock, Timer } from '../../clock.ts';
import { describeError } from '../../errors.ts';
import type { CheckpointSchema, LedgerEntrySchema } from '../../gen/homeostat/type/v1/ledger_pb.ts';
import type { Logger } from '../../observability.ts';
import type { Store, Tx } from '../../store/store.ts';
import { type Anchor, anchorPayload } from './anchor.ts';
import {
  type AuditTables,
  addAnchor,
  findAnchorFrom,
  findEntry,
  findHead,
  findNewestAnchor,
  findStub,
  type Reader,
  saveEnd,
} from './audit-store.ts';

/** A ledger entry with the way to a signed checkpoint. */
export interface ProvenEntry {
  readonly entry: MessageInitShape<typeof LedgerEntrySchema>;
  readonly proof: readonly Uint8Array[];
  readonly checkpoint: MessageInitShape<typeof CheckpointSchema>;
}

/** Keeps what must be provable. `kind` is this context's own name for it. */
export interface Ledger {
  /** Appends in the caller's transaction; the same kind, key and payload again give the same index. */
  append(tx: Tx, kind: string, key: string, payload: Uint8Array): Promise<{ readonly index: number }>;
  /** Proves an entry; undefined while no checkpoint covers it. */
  prove(index: number): Promise<ProvenEntry | undefined>;
}

export interface SweepConfig {
  /** Longest time an entry waits for its anchor, 1,000 or more; default 60,000. */
  readonly anchorIntervalMs: number;
  /** Most entries that wait for an anchor, 1..100,000; default 1,000. */
  readonly anchorEntriesMax: number;
  /** How long entries are kept, at least a day; default 365 days. */
  readonly retentionMs: number;
}

export interface SweepDeps {
  readonly config: SweepConfig;
  readonly clock: Clock;
  readonly store: Store;
  readonly bus: Pick<Bus, 'record'>;
  readonly ledger: Ledger;
  readonly logger: Logger;
}

export interface Sweep {
  /** Says where the head is; anchors it when enough entries wait. Cost: a comparison. */
  noticed(headSequence: number): void;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Kind of the ledger's entries. */
const KIND = 'audit';

/** Looks per interval; an entry that has waited all of them but one is anchored. */
const LOOKS = 4;

const PRUNE_INTERVAL_MS = 3_600_000;

/** Entries removed in one transaction. */
const STEP_ENTRIES = 1_000;

export function createSweep(deps: SweepDeps): Sweep {
  const { config, clock, logger } = deps;
  const lookMs = config.anchorIntervalMs / LOOKS;
  let prunedMs = Number.NEGATIVE_INFINITY;
  /** Head at the last anchor or attempt, so that a ledger that is down is not asked for each entry. */
  let attempted = 0;
  let stopping = false;
  let running: Promise<void> | undefined;
  let timer: Timer | undefined;

  const sweep = async () => {
    attempted = (await findHead(deps.store)).sequence;
    if (await isAnchorDue(deps.store, deps, config.anchorIntervalMs - lookMs)) await anchorHead(deps);
    if (clock.monotonicMs() - prunedMs < PRUNE_INTERVAL_MS) return;
    prunedMs = clock.monotonicMs();
    await pruneAged(deps, () => stopping);
  };
  const sweepOnce = () => {
    running ??= sweep()
      // Nothing is lost: the next look finds what waits.
      .catch((error) => logger.warn({ cause: describeError(error) }, 'the audit trail was not anchored'))
      .finally(() => {
        running = undefined;
      });
  };

  return {
    noticed(headSequence) {
      if (stopping || headSequence - attempted < config.anchorEntriesMax) return;
      attempted = headSequence;
      sweepOnce();
    },
    async start() {
      attempted = (await findNewestAnchor(deps.store))?.sequence ?? 0;
      timer = clock.every(lookMs, sweepOnce);
    },
    async stop() {
      stopping = true;
      timer?.cancel();
      await running;
    },
  };
}

/** Whether entries have waited for as long, or as many, as an anchor is wanted. */
async function isAnchorDue(reader: Reader, deps: SweepDeps, waitMs: number): Promise<boolean> {
  const head = await findHead(reader);
  const anchored = (await findNewestAnchor(reader))?.sequence ?? 0;
  if (head.sequence <= anchored) return false;
  if (head.sequence - anchored >= deps.config.anchorEntriesMax) return true;
  const oldest = await findEntry(reader, anchored + 1);
  return oldest === undefined || oldest.occurredAtMs <= deps.clock.nowMs() - waitMs;
}

/**
 * Puts the head into the ledger, unless it is there already: its entry, its anchor and the event commit together.
 * Resolves with the newest anchor; undefined while the chain is empty. Rejects with what the ledger throws.
 */
export function anchorHead(
  deps: Omit<SweepDeps, 'config' | 'clock' | 'logger'>,
): Promise<Anchor | undefined> {
  return deps.store.transactInTurn(async (tx) => {
    const head = await findHead(tx);
    const newest = await findNewestAnchor(tx);
    if (head.sequence <= (newest?.sequence ?? 0)) return newest;
    const key = String(head.sequence);
    const { index } = await deps.ledger.append(tx, KIND, key, anchorPayload(head));
    const anchor = { ...head, ledgerIndex: index };
    await addAnchor(tx, anchor);
    const { sequence, hash } = head;
    await deps.bus.record(tx, topics.auditAnchored, key, {
      sequence: BigInt(sequence),
      hash,
      ledgerIndex: BigInt(index),
    });
    return anchor;
  });
}

async function pruneAged(deps: SweepDeps, stopped: () => boolean): Promise<void> {
  const cutoffMs = deps.clock.nowMs() - deps.config.retentionMs;
  while (!stopped() && (await deps.store.transactInTurn((tx) => pruneStep(tx, cutoffMs))));
}

/** Removes what is before the stub, or moves the stub one anchor on. False when there is nothing to do. */
async function pruneStep(tx: Tx, cutoffMs: number): Promise<boolean> {
  const stub = await findStub(tx);
  const entries = tx.query<AuditTables>();
  const { oldest } = await entries
    .selectFrom('identity_audit')
    .select((row) => row.fn.min('sequence').as('oldest'))
    .executeTakeFirstOrThrow();
  if (oldest !== null && Number(oldest) <= stub.sequence) {
    const last = Math.min(stub.sequence, Number(oldest) + STEP_ENTRIES - 1);
    await entries.deleteFrom('identity_audit').where('sequence', '<=', last).execute();
    return true;
  }
  const next = await findAnchorFrom(tx, stub.sequence + 1);
  if (next === undefined) return false;
  const { youngestMs } = await entries
    .selectFrom('identity_audit')
    .select((row) => row.fn.max('occurred_at_ms').as('youngestMs'))
    .where('sequence', '<=', next.sequence)
    .executeTakeFirstOrThrow();
  if (youngestMs === null || Number(youngestMs) > cutoffMs) return false;
  await saveEnd(tx, 'stub', next);
  await entries.deleteFrom('identity_audit_anchor').where('sequence', '<', next.sequence).execute();
  return true;
}
