/**
 * LedgerService: requests to the log and back. What is answered has been verified on the way (`proofs.ts`); appends are
 * batched, and commit with their audit.
 */
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Clock } from '../clock.ts';
import { fieldError } from '../errors.ts';
import { LedgerService } from '../gen/homeostat/ledger/v1/ledger_service_pb.ts';
import type { CheckpointSchema } from '../gen/homeostat/type/v1/ledger_pb.ts';
import { type Handlers, type ServiceBinding, serviceBinding } from '../rpc/handler.ts';
import type { Store } from '../store/store.ts';
import type { Damage } from './damage.ts';
import { ledgerError } from './errors.ts';
import { type Checkpoint, type Checkpoints, checkpointToProto } from './note/checkpoints.ts';
import { importCosignatures } from './note/cosignature-service.ts';
import type { VerifierKey } from './note/key.ts';
import type { Proofs } from './proofs.ts';
import type { Batches } from './tree/append-service.ts';
import { entryToProto, leafData } from './tree/entry.ts';
import { watchCheckpoints } from './watch.ts';

/** The log while it runs. */
export interface OpenLog {
  readonly proofs: Proofs;
  readonly checkpoints: Checkpoints;
  readonly batches: Batches;
  /** Keys that sign for the log, its own first. */
  readonly keys: readonly [VerifierKey, ...VerifierKey[]];
  readonly witnesses: readonly VerifierKey[];
}

export interface ServiceDeps {
  readonly clock: Clock;
  readonly store: Store;
  readonly damage: Damage;
  readonly heartbeatMs: number;
  /** Throws NOT_STARTED while the log does not run. */
  readonly open: () => OpenLog;
  readonly unavailable: () => readonly string[];
  readonly degraded: () => readonly string[];
}

const PAGE_SIZE = 50;

export function createLedgerService(deps: ServiceDeps): ServiceBinding {
  const { open } = deps;
  const handlers: Handlers<typeof LedgerService> = {
    ...readHandlers(open),

    async append({ kind, key, payload }, call) {
      deps.damage.refuseAppends();
      const { index, leafHash } = await open().batches.append({ kind, key, payload }, call);
      return { index: BigInt(index), leafHash };
    },

    async getLogKeys() {
      const { keys, witnesses } = open();
      const shown = ({ name, vkey }: VerifierKey) => ({ name, vkey });
      return { origin: keys[0].name, logKeys: keys.map(shown), witnesses: witnesses.map(shown) };
    },

    async importCosignature({ note }, call) {
      const { checkpoints, keys, witnesses } = open();
      const store = deps.store;
      return {
        storedLines: await importCosignatures({ store, checkpoints, log: keys[0], witnesses }, note, call),
      };
    },

    async *watchCheckpoints({ resumeSize }, call) {
      const { checkpoints } = open();
      const latest = checkpoints.latest()?.size ?? -1;
      const seenSize = resumeSize === undefined ? latest - 1 : publishedSize(resumeSize, latest);
      if (seenSize > latest) throw ledgerError('PROOF_RANGE', { asked: seenSize, size: latest });
      const { clock, heartbeatMs } = deps;
      const watched = watchCheckpoints({ clock, checkpoints, heartbeatMs, seenSize, signal: call.signal });
      for await (const { checkpoint, seenSize: seen } of watched)
        yield {
          resumeSize: BigInt(Math.max(0, seen)),
          ...(checkpoint && { checkpoint: await checkpointOf(checkpoints, checkpoint) }),
        };
    },
  };
  const { unavailable, degraded } = deps;
  return { ...serviceBinding(LedgerService, handlers, unavailable), degraded };
}

function readHandlers(open: () => OpenLog) {
  const handlers: Pick<
    Handlers<typeof LedgerService>,
    'getEntry' | 'listEntries' | 'getCheckpoint' | 'getInclusionProof' | 'getConsistencyProof'
  > = {
    async getEntry({ index }) {
      const { proofs, checkpoints } = open();
      const size = checkpoints.latest()?.size ?? 0;
      if (index > Number.MAX_SAFE_INTEGER) throw ledgerError('ENTRY_NOT_FOUND', { index, size });
      return { entry: entryToProto(await proofs.entry(Number(index))) };
    },

    async listEntries({ start, kind, page }) {
      const limit = page?.pageSize ?? PAGE_SIZE;
      const from = pageStart(start, page?.pageToken ?? '');
      const entries = await open().proofs.entries({ start: from, kind, limit: limit + 1 });
      const shown = entries.slice(0, limit);
      const nextPageToken = entries.length > limit ? String(shown.at(-1)!.index + 1) : '';
      return { entries: shown.map(entryToProto), nextPageToken };
    },

    async getCheckpoint({ treeSize }) {
      const { proofs, checkpoints } = open();
      const checkpoint = await proofs.checkpoint(optionalSize(treeSize, checkpoints));
      return { checkpoint: await checkpointOf(checkpoints, checkpoint) };
    },

    async getInclusionProof({ index, treeSize }) {
      const { proofs, checkpoints } = open();
      const size = optionalSize(treeSize, checkpoints);
      const { entry, proof, checkpoint } = await proofs.inclusion(sizeOf(index, checkpoints), size);
      return {
        index,
        leafData: leafData(entry),
        proof: [...proof],
        checkpoint: await checkpointOf(checkpoints, checkpoint),
      };
    },

    async getConsistencyProof({ firstSize, secondSize }) {
      const { proofs, checkpoints } = open();
      const size = optionalSize(secondSize, checkpoints);
      const { proof, first, second } = await proofs.consistency(sizeOf(firstSize, checkpoints), size);
      return {
        proof: [...proof],
        firstCheckpoint: await checkpointOf(checkpoints, first),
        secondCheckpoint: await checkpointOf(checkpoints, second),
      };
    },
  };
  return handlers;
}

async function checkpointOf(
  checkpoints: Checkpoints,
  checkpoint: Checkpoint,
): Promise<MessageInitShape<typeof CheckpointSchema>> {
  return checkpointToProto(checkpoint, await checkpoints.cosigned(checkpoint));
}

function optionalSize(size: bigint | undefined, checkpoints: Checkpoints): number | undefined {
  return size === undefined ? undefined : sizeOf(size, checkpoints);
}

function sizeOf(size: bigint, checkpoints: Checkpoints): number {
  return publishedSize(size, checkpoints.latest()?.size ?? 0);
}

/** A size as a number; no log reaches those that do not fit. */
function publishedSize(asked: bigint, latest: number): number {
  if (asked > Number.MAX_SAFE_INTEGER) throw ledgerError('PROOF_RANGE', { asked, size: latest });
  return Number(asked);
}

/** First index of a page: what the token says, else what was asked for. */
function pageStart(start: bigint, token: string): number {
  if (token !== '' && !/^\d{1,16}$/.test(token))
    throw fieldError(ledgerError.domain, [
      { field: 'page.page_token', description: 'must be the token of the page before' },
    ]);
  const from = token === '' ? start : BigInt(token);
  return Number(from > Number.MAX_SAFE_INTEGER ? Number.MAX_SAFE_INTEGER : from);
}
