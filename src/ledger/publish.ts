/**
 * Publishing, in rounds: damage that was met is committed, what other servers have published is taken over,
 * and what was appended since is signed. A root is signed only when the trusted tree has grown to it from committed
 * entries; the row is inserted only above every other size. Signatures are deterministic, so it does not matter which of
 * several servers signs; one of them records the event.
 */
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { Bus } from '../bus/bus.ts';
import { topics } from '../bus/topics.ts';
import type { Clock } from '../clock.ts';
import type { Store, Tx } from '../store/store.ts';
import { type Damage, type Finding, hull } from './damage.ts';
import { type CheckpointRow, listLatestCheckpoints, type NoteTables } from './note/checkpoint-store.ts';
import { type Checkpoints, checkpointToProto } from './note/checkpoints.ts';
import { findScrub, type ScrubState, saveScrub } from './store.ts';
import type { Tree } from './tree/tree.ts';

export interface PublishDeps {
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly store: Store;
  readonly bus: Pick<Bus, 'record'>;
  readonly damage: Damage;
  readonly tree: Tree;
  readonly checkpoints: Checkpoints;
}

/** Signs what was appended since. Throws LEDGER_DAMAGED, or what the store throws; the next round tries again. */
export async function publishGrowth(deps: PublishDeps): Promise<void> {
  const latest = await deps.checkpoints.refresh();
  const size = await deps.tree.advance();
  if (!deps.tree.trusted || (latest && size <= latest.size)) return;
  const root = await deps.tree.root(size);
  const row = deps.checkpoints.sign(size, root, deps.clock.nowMs());
  await deps.store.transact((tx) => insertCheckpoint(deps, tx, row, root));
  await deps.checkpoints.refresh();
}

/** Stores a checkpoint unless one of this or a larger size is there, and records that it is published. */
async function insertCheckpoint(
  { bus }: PublishDeps,
  tx: Tx,
  row: CheckpointRow,
  root: Uint8Array,
): Promise<void> {
  const [last] = await listLatestCheckpoints(tx, 1);
  if (last && last.tree_size >= row.tree_size) return;
  await tx.query<NoteTables>().insertInto('ledger_checkpoint').values(row).execute();
  const { tree_size: size, note, signed_at_ms: signedAtMs } = row;
  const checkpoint = checkpointToProto({ size, root, note, signedAtMs }, note);
  await bus.record(tx, topics.checkpointPublished, String(size), { checkpoint });
}

/** Commits the findings met since, and takes over what other servers have committed. */
export async function exchangeDamage(deps: PublishDeps): Promise<ScrubState> {
  const { damage, store, clock } = deps;
  const pending = damage.pending();
  if (pending.length > 0) await store.transact((tx) => saveFindings(deps, tx, pending, clock.nowMs()));
  const state = await findScrub(store);
  damage.adopt(state.damage, pending);
  return state;
}

/** Adds findings to the damage that is stored, and records each. */
async function saveFindings(
  { bus }: Pick<PublishDeps, 'bus'>,
  tx: Tx,
  findings: readonly Finding[],
  nowMs: number,
): Promise<void> {
  const { endedAtMs, damage } = await findScrub(tx);
  await saveScrub(tx, { endedAtMs, damage: hull(damage ? [damage, ...findings] : findings) });
  for (const finding of findings) await recordDamage(bus, tx, finding, nowMs);
}

/** Puts what a scrub has found in the place of what was known, and records what is outside of that. */
export async function saveScrubbed(
  { bus, store, clock }: Pick<PublishDeps, 'bus' | 'store' | 'clock'>,
  findings: readonly Finding[],
): Promise<void> {
  const nowMs = clock.nowMs();
  await store.transact(async (tx) => {
    const { damage: known } = await findScrub(tx);
    await saveScrub(tx, { endedAtMs: Math.floor(nowMs), damage: hull(findings) });
    for (const finding of findings)
      if (!known || finding.start < known.start || finding.end > known.end)
        await recordDamage(bus, tx, finding, nowMs);
  });
}

/** Records a finding; its time makes it another event when it is met again after it was lifted. */
async function recordDamage(
  bus: Pick<Bus, 'record'>,
  tx: Tx,
  { start, end, detail }: Finding,
  nowMs: number,
): Promise<void> {
  await bus.record(tx, topics.ledgerDamaged, `${Math.floor(nowMs)}.${start}-${end}`, {
    start: BigInt(start),
    end: BigInt(end),
    detail,
    foundAt: timestampFromMs(nowMs),
  });
}
