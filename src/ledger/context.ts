/**
 * The door of ledger: the transparency log that other contexts commit to. Appends need SQL alone and take part in the
 * caller's transaction, even before `start`; signing, proving and watching begin with it. Any number of servers may work on
 * one database. What a log says is verified offline with the pure functions exported here.
 */
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Bus } from '../bus/bus.ts';
import type { Clock, Timer } from '../clock.ts';
import type { CheckpointSchema, LedgerEntrySchema } from '../gen/homeostat/type/v1/ledger_pb.ts';
import type { Logger, Metrics } from '../observability.ts';
import type { ServiceBinding } from '../rpc/handler.ts';
import type { Sealer } from '../sealing.ts';
import type { Secrets } from '../secrets.ts';
import type { Migration, Store, Tx } from '../store/store.ts';
import { createDamage, type Damage, type Finding } from './damage.ts';
import { ledgerError } from './errors.ts';
import { openLog, type RunningLog } from './log-service.ts';
import { noteMigration } from './note/checkpoint-store.ts';
import { type Checkpoint, checkpointToProto } from './note/checkpoints.ts';
import { formatNote } from './note/note.ts';
import { messageSignatureHolds } from './note/signer.ts';
import { createLedgerService } from './service.ts';
import { erasePayload, logMigration } from './store.ts';
import { conflictError } from './tree/append-service.ts';
import { appendEntries } from './tree/append-store.ts';
import { entryToProto } from './tree/entry.ts';

export { verifyCheckpoint } from './note/checkpoint.ts';
export { parseVerifierKey, type VerifierKey } from './note/key.ts';
export { verifyNote } from './note/note.ts';
export { messageSignatureHolds } from './note/signer.ts';
export { leafData, parseLeafData } from './tree/entry.ts';

export const ledgerMigrations: readonly Migration[] = [logMigration, noteMigration];

export interface LedgerConfig {
  /** Name of the log; empty for the one it has, or one made up at the first start. Default ''. */
  readonly origin: string;
  /** Keys of witnesses whose cosignatures are taken, in the notation of signed notes. Default none. */
  readonly witnesses: readonly string[];
  /** Names beside the log's own that notes and messages are signed under, `<origin>/<name>`: `sessions`, `proofs`. */
  readonly noteNames: readonly string[];
  /** How often what was appended is signed, 50..1,000 ms. Default 500. */
  readonly checkpointIntervalMs: number;
  /** How often everything is looked at, 60,000..2,592,000,000 ms. Default 86,400,000. */
  readonly scrubIntervalMs: number;
  /** Silence after which a watcher gets a heartbeat, 1,000..60,000 ms. Default 15,000. */
  readonly heartbeatMs: number;
  /** Entries appended in one transaction, 1..256, for those that come without one. Default 256. */
  readonly batchEntriesMax: number;
  /** How long the first of such a batch waits for others, 0..100 ms. Default 5. */
  readonly batchWaitMs: number;
  /** Full tiles kept in memory, 16 KiB each, 16..65,536. Default 1,024. */
  readonly tilesMax: number;
}

export interface LedgerDeps {
  readonly config: LedgerConfig;
  readonly clock: Clock;
  readonly store: Store;
  readonly bus: Pick<Bus, 'record'>;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly secrets: Secrets;
  readonly sealer: Sealer;
}

/** What other contexts get, each with its own prefix of kinds. */
export interface Ledger {
  /**
   * Appends in the caller's transaction (`transactInTurn`: all appends write one row). Equal kind, key and payload give
   * the index of before. `kind` and `key` have 1..255 bytes each. Throws ENTRY_CONFLICT, LEDGER_READ_ONLY and
   * LEDGER_DAMAGED.
   */
  append(
    tx: Tx,
    kind: string,
    key: string,
    payload: Uint8Array,
  ): Promise<{ readonly index: number; readonly leafHash: Uint8Array }>;
  /** Removes a payload; its hash and the tree stand. True when there is such an entry. */
  erase(tx: Tx, kind: string, key: string): Promise<boolean>;
  /** Proof that an entry is in the log of a published size, the latest by default. Throws PROOF_RANGE, LEDGER_DAMAGED. */
  prove(
    index: number,
    treeSize?: number,
  ): Promise<{
    readonly entry: MessageInitShape<typeof LedgerEntrySchema>;
    readonly proof: readonly Uint8Array[];
    readonly checkpoint: MessageInitShape<typeof CheckpointSchema>;
  }>;
  /** The latest checkpoint. Throws NOT_STARTED. */
  latest(): Checkpoint;
  /** Signs a text, which ends with a newline, as a note of `<origin>/<name>`; `name` is one of the configured ones. */
  sign(name: string, text: string): string;
  /**
   * Signs a message as `<origin>/<name>`, as `signBytes` of a signer does. The same message always has the same signature,
   * on every server of the database. Throws NOT_STARTED.
   */
  signBytes(name: string, message: Uint8Array): SignedBytes;
  /** Whether `signBytes` gave this for the message, now or ever. Throws NOT_STARTED. */
  verifyBytes(name: string, message: Uint8Array, signed: SignedBytes): boolean;
}

/** Signature of a message. */
export interface SignedBytes {
  /** Ed25519, 64 bytes. */
  readonly signature: Uint8Array;
  /** Name of the key, `<origin>/<name>`. */
  readonly signer: string;
}

export interface Ledgers {
  readonly services: readonly ServiceBinding[];
  readonly ledger: Ledger;
  /** DAMAGED while damage is known: the log is read, and nothing is appended. */
  degraded(): readonly string[];
  /** Looks at everything now, and resolves with what is damaged; a log that is whole takes appends again. */
  scrub(): Promise<readonly Finding[]>;
  /** Makes or reads the key, checks the right edge against what was signed, publishes what was appended meanwhile. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Applies no migrations: `ledgerMigrations` must have been. */
export function createLedger(deps: LedgerDeps): Ledgers {
  const { config, clock, store } = deps;
  const damage = createDamage();
  let running: RunningLog | undefined;
  let timer: Timer | undefined;
  const open = (): RunningLog => {
    if (running) return running;
    throw ledgerError('NOT_STARTED', {}, { retryAfterMs: 1_000 });
  };
  const degraded = () => (damage.range() ? ['DAMAGED'] : []);
  exportMetrics(deps, damage, () => running?.checkpoints.latest());
  return {
    services: [
      createLedgerService({
        clock,
        store,
        damage,
        heartbeatMs: config.heartbeatMs,
        open,
        unavailable: () => (running ? [] : ['STARTING']),
        degraded,
      }),
    ],
    ledger: createPort(deps, damage, open),
    degraded,
    scrub: () => open().scrub(),
    async start() {
      running = await openLog(deps, damage);
      timer = clock.every(config.checkpointIntervalMs, running.round);
    },
    async stop() {
      timer?.cancel();
      const stopping = running;
      running = undefined;
      await stopping?.stop();
    },
  };
}

/** The port of other contexts. */
function createPort(deps: LedgerDeps, damage: Damage, open: () => RunningLog): Ledger {
  const signerOf = (name: string) => {
    const signer = open().signers.get(name);
    if (!signer) throw new RangeError(`nothing is signed under the name ${name}`);
    return signer;
  };
  return {
    async append(tx, kind, key, payload) {
      damage.refuseAppends();
      const entry = { kind, key, payload };
      const [appended] = await appendEntries({ clock: deps.clock, damage }, tx, [entry]);
      if ('conflict' in appended!) throw conflictError(entry, appended.conflict);
      return appended!;
    },
    erase: erasePayload,
    async prove(index, treeSize) {
      const { proofs, checkpoints } = open();
      const { entry, proof, checkpoint } = await proofs.inclusion(index, treeSize);
      const note = await checkpoints.cosigned(checkpoint);
      return { entry: entryToProto(entry), proof, checkpoint: checkpointToProto(checkpoint, note) };
    },
    latest() {
      const latest = open().checkpoints.latest();
      if (latest === undefined) throw ledgerError('NOT_STARTED', {});
      return latest;
    },
    sign: (name, text) => formatNote(text, [signerOf(name).sign(text)]),
    signBytes(name, message) {
      const signer = signerOf(name);
      return { signature: signer.signBytes(message), signer: signer.verifier.name };
    },
    verifyBytes(name, message, { signature, signer }) {
      const { verifier } = signerOf(name);
      return verifier.name === signer && messageSignatureHolds(verifier, message, signature);
    },
  };
}

function exportMetrics(
  { metrics, clock }: LedgerDeps,
  damage: Damage,
  latest: () => Checkpoint | undefined,
): void {
  const ofLatest = (value: (checkpoint: Checkpoint) => number) => () => {
    const checkpoint = latest();
    return checkpoint ? [{ value: value(checkpoint) }] : [];
  };
  metrics.gauge(
    'homeostat_ledger_size',
    'Entries under the latest checkpoint.',
    [],
    ofLatest(({ size }) => size),
  );
  metrics.gauge(
    'homeostat_ledger_checkpoint_age_seconds',
    'Time since the latest checkpoint was signed.',
    [],
    ofLatest(({ signedAtMs }) => (clock.nowMs() - signedAtMs) / 1000),
  );
  metrics.gauge('homeostat_ledger_damaged', '1 while damage is known, else 0.', [], () => [
    { value: damage.range() ? 1 : 0 },
  ]);
}
