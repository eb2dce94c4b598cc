/**
 * The log while it runs: opened from SQL, published in rounds, scrubbed when that is due. One round and one scrub are
 * under way at most. The tree is trusted once its right edge leads to the frontier and to the latest checkpoint; until
 * then nothing is signed, and what is read is proven against checkpoints one by one.
 */
import { AppError, describeError } from '../errors.ts';
import { emptyRoot, sameHash } from '../numeric/merkle.ts';
import type { LedgerDeps } from './context.ts';
import { type Damage, type Finding, hull } from './damage.ts';
import { ledgerStartError } from './errors.ts';
import { type Checkpoint, type Checkpoints, createCheckpoints } from './note/checkpoints.ts';
import { parseWitness, type VerifierKey } from './note/key.ts';
import { holdsLogKey, openLogKey } from './note/key-store.ts';
import { createDerivedSigner, createSigner, type NoteSigner } from './note/signer.ts';
import { createProofs } from './proofs.ts';
import { exchangeDamage, publishGrowth, saveScrubbed } from './publish.ts';
import { scrub } from './scrub.ts';
import type { OpenLog } from './service.ts';
import { FRONTIER_BROKEN, findFrontier, findScrub } from './store.ts';
import { createBatches } from './tree/append-service.ts';
import { Tree } from './tree/tree.ts';

export interface RunningLog extends OpenLog {
  /** By the name behind the log's own. */
  readonly signers: ReadonlyMap<string, NoteSigner>;
  /** Begins a round unless one is under way. */
  round(): void;
  scrub(): Promise<readonly Finding[]>;
  /** Commits the batches under way, and resolves once nothing is. */
  stop(): Promise<void>;
}

/** Time between two scrubs that rounds begin, ms, whatever comes of them. */
const SCRUB_RETRY_MS = 60_000;

/** What a round and a scrub work on. */
interface Work extends LedgerDeps {
  readonly damage: Damage;
  readonly tree: Tree;
  readonly checkpoints: Checkpoints;
}

/**
 * Opens the log and publishes what is not yet. A damaged log opens as well. Throws ORIGIN_DIFFERS, ORIGIN_INVALID,
 * WITNESS_INVALID, SECRET_FOREIGN, and what the store throws.
 */
export async function openLog(deps: LedgerDeps, damage: Damage): Promise<RunningLog> {
  const { config, store, clock, secrets, sealer } = deps;
  const witnesses = config.witnesses.map(witnessOf);
  const key = await openLogKey({ store, secrets, sealer, origin: config.origin });
  const signer = createSigner(key.origin, key.seed);
  const signers = new Map(
    config.noteNames.map((name) => [name, createDerivedSigner(key.origin, name, key.seed)]),
  );
  const tree = new Tree({ reader: store, damage, tilesMax: config.tilesMax });
  const checkpoints = createCheckpoints({ reader: store, signer, damage });
  const work: Work = { ...deps, damage, tree, checkpoints };
  const holdsKey = () => holdsLogKey(store, sealer, key);
  const rounds = createRounds(work, (signal) =>
    scrub({ reader: store, log: signer.verifier, holdsKey }, signal),
  );
  damage.adopt((await findScrub(store)).damage, []);
  await trustTree(work);
  // What was met just now may be named more closely before it is told.
  if (damage.pending().length > 0) await rounds.scrub();
  await rounds.first();
  const batches = createBatches({
    clock,
    store,
    damage,
    config: { entriesMax: config.batchEntriesMax, waitMs: config.batchWaitMs },
  });
  return {
    proofs: createProofs({ reader: store, tree, checkpoints, damage }),
    checkpoints,
    batches,
    keys: [signer.verifier, ...[...signers.values()].map(({ verifier }) => verifier)],
    witnesses,
    signers,
    round: rounds.next,
    scrub: rounds.scrub,
    async stop() {
      await batches.stop();
      await rounds.stop();
    },
  };
}

function witnessOf(vkey: string): VerifierKey {
  const witness = parseWitness(vkey);
  if (witness === undefined) throw ledgerStartError('WITNESS_INVALID', { vkey });
  return witness;
}

/**
 * Opens the tree and trusts it if it leads to the frontier and to the latest checkpoint. If it does not, what is wrong is
 * found, and the tree is opened as of that checkpoint, so that what is older is read.
 */
async function trustTree({ store, tree, checkpoints, damage }: Work): Promise<void> {
  await checkpoints.refresh().catch(ignoreDamage);
  const latest = checkpoints.latest();
  const frontier = await findFrontier(store);
  const fault =
    (frontier && !frontier.range
      ? { start: 0, end: frontier.size, detail: FRONTIER_BROKEN }
      : await tree.open(frontier?.size ?? 0, frontier?.range?.root() ?? emptyRoot())) ??
    (latest && (await faultOf(tree, latest)));
  if (fault) {
    damage.found(fault);
    if (!latest || (await tree.open(latest.size, latest.root))) return;
  }
  tree.trust();
}

/** What speaks against a tree that leads to the frontier; undefined when it leads to the checkpoint as well. */
async function faultOf(tree: Tree, { size, root }: Checkpoint): Promise<Finding | undefined> {
  if (size > tree.size)
    return { start: tree.size, end: size, detail: 'the log is shorter than a checkpoint' };
  const found = await tree.root(size).catch(ignoreDamage);
  if (found && sameHash(found, root)) return undefined;
  return { start: 0, end: size, detail: 'the entries do not lead to a checkpoint' };
}

/** Damage was reported where it was met; anything else goes on. */
function ignoreDamage(error: unknown): undefined {
  if (error instanceof AppError && error.kind === 'DATA_LOSS') return undefined;
  throw error;
}

/** Runs one after the other what must not run twice at once: who asks meanwhile gets the run under way. */
function single<Result>(work: () => Promise<Result>) {
  let current: Promise<Result> | undefined;
  const run = () => {
    current ??= work().finally(() => {
      current = undefined;
    });
    return current;
  };
  return { run, current: () => current };
}

/** Rounds, and the scrubs that are due by them: after the interval, or because damage was met. */
function createRounds(work: Work, examine: (signal: AbortSignal) => Promise<readonly Finding[]>) {
  const { clock, damage, logger, config } = work;
  const stopping = new AbortController();
  let scrubbedAtMs = Number.NEGATIVE_INFINITY;

  const scrubs = single(async () => {
    scrubbedAtMs = clock.monotonicMs();
    const met = damage.pending();
    const findings = await examine(stopping.signal);
    await saveScrubbed(work, findings);
    damage.adopt(hull(findings), met);
    for (const finding of findings) logger.error(finding, 'the log is damaged');
    if (findings.length === 0 && !work.tree.trusted) await trustTree(work);
    return findings;
  });
  const failing = new Set<string>();
  /** Logs a failure, once until it has gone well again. */
  const quietly = (promise: Promise<unknown>, failure: string) =>
    void promise.then(
      () => failing.delete(failure),
      (error) => {
        if (failing.has(failure) || stopping.signal.aborted) return;
        failing.add(failure);
        logger.warn({ cause: describeError(error) }, failure);
      },
    );
  const rounds = single(async () => {
    const met = damage.pending();
    for (const finding of met) logger.error(finding, 'damage was met');
    const { endedAtMs } = await exchangeDamage(work);
    const isDue = met.length > 0 || clock.nowMs() - endedAtMs >= config.scrubIntervalMs;
    if (isDue && clock.monotonicMs() - scrubbedAtMs >= SCRUB_RETRY_MS)
      quietly(scrubs.run(), 'the log could not be scrubbed');
    await publishGrowth(work);
  });
  return {
    scrub: scrubs.run,
    first: () => rounds.run().catch(ignoreDamage),
    next: () => quietly(rounds.run(), 'nothing could be published'),
    async stop() {
      stopping.abort();
      await Promise.allSettled([rounds.current(), scrubs.current()]);
    },
  };
}
