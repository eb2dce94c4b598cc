/**
 * A ledger context on a real store, with a bus that keeps what is recorded once its transaction is committed, and calls
 * that keep their audit likewise. Secrets are counted up, so that a log has the same key on every run.
 */
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { Bus } from '../../src/bus/bus.ts';
import { topics } from '../../src/bus/topics.ts';
import type {
  CheckpointPublished,
  LedgerDamaged,
} from '../../src/gen/homeostat/ledger/v1/ledger_events_pb.ts';
import {
  AppendRequestSchema,
  GetCheckpointRequestSchema,
  GetConsistencyProofRequestSchema,
  GetEntryRequestSchema,
  GetInclusionProofRequestSchema,
  ImportCosignatureRequestSchema,
  type LedgerService,
  ListEntriesRequestSchema,
  WatchCheckpointsRequestSchema,
} from '../../src/gen/homeostat/ledger/v1/ledger_service_pb.ts';
import {
  type Checkpoint,
  CheckpointSchema,
  type LedgerEntry,
} from '../../src/gen/homeostat/type/v1/ledger_pb.ts';
import { createLedger, type LedgerConfig, type Ledgers } from '../../src/ledger/context.ts';
import { createMetrics } from '../../src/observability.ts';
import type { Call, Handlers } from '../../src/rpc/handler.ts';
import { createSealer } from '../../src/sealing.ts';
import type { Secrets } from '../../src/secrets.ts';
import type { Store } from '../../src/store/store.ts';
import type { FakeClock } from '../support/fake-clock.ts';
import { silentLogger } from '../support/stores.ts';

export const CONFIG: LedgerConfig = {
  origin: 'example.org/log',
  witnesses: [],
  noteNames: ['sessions'],
  checkpointIntervalMs: 500,
  scrubIntervalMs: 86_400_000,
  heartbeatMs: 15_000,
  batchEntriesMax: 256,
  batchWaitMs: 5,
  tilesMax: 1_024,
};

/** Bytes 0, 1, 2 ... in every answer: the first 32 are the seed of the known checkpoint. */
export const countingSecrets: Secrets = {
  bytes: (count) => Uint8Array.from({ length: count }, (_, i) => i),
};

export const sealer = createSealer(new Uint8Array(32).fill(7), countingSecrets);

type Service = Handlers<typeof LedgerService>;

export interface LedgerWorld {
  readonly context: Ledgers;
  /** Events of committed transactions. */
  readonly published: readonly CheckpointPublished[];
  readonly damages: readonly LedgerDamaged[];
  /** Resources of committed audit entries. */
  readonly audited: readonly string[];
  /** Appends through the port, in a transaction of its own. */
  append(kind: string, key: string, payload: string): Promise<{ index: number; leafHash: Uint8Array }>;
  /** Appends `count` entries, numbered from `first`, in one transaction. */
  appendMany(count: number, first?: number): Promise<void>;
  /** Lets the next round run. */
  round(): Promise<void>;
  readonly call: Call;
  readonly rpc: {
    append(
      request: MessageInitShape<typeof AppendRequestSchema>,
    ): Promise<{ index: bigint; leafHash: Uint8Array }>;
    getEntry(index: number | bigint): Promise<LedgerEntry>;
    listEntries(
      request: MessageInitShape<typeof ListEntriesRequestSchema>,
    ): Promise<{ entries: LedgerEntry[]; nextPageToken: string }>;
    getCheckpoint(treeSize?: bigint): Promise<Checkpoint>;
    getInclusionProof(
      request: MessageInitShape<typeof GetInclusionProofRequestSchema>,
    ): Promise<{ index: bigint; leafData: Uint8Array; proof: Uint8Array[]; checkpoint: Checkpoint }>;
    getConsistencyProof(
      request: MessageInitShape<typeof GetConsistencyProofRequestSchema>,
    ): Promise<{ proof: Uint8Array[]; firstCheckpoint: Checkpoint; secondCheckpoint: Checkpoint }>;
    getLogKeys: Service['getLogKeys'];
    importCosignature(note: string): Promise<number>;
    watch(
      resumeSize: bigint | undefined,
      signal: AbortSignal,
    ): AsyncIterator<MessageInitShape<(typeof LedgerService)['method']['watchCheckpoints']['output']>>;
  };
  exposition(): Promise<string>;
}

export function createLedgerWorld(options: {
  readonly store: Store;
  readonly clock: FakeClock;
  readonly config?: Partial<LedgerConfig>;
  readonly secrets?: Secrets;
  /** What a call's audit does; by default it is kept. */
  readonly audit?: Call['audit'];
}): LedgerWorld {
  const { store, clock } = options;
  const published: CheckpointPublished[] = [];
  const damages: LedgerDamaged[] = [];
  const audited: string[] = [];
  const bus: Pick<Bus, 'record'> = {
    async record(tx, topic, _key, message) {
      const event = create(topic.schema, message) as unknown;
      tx.afterCommit(() => {
        if (topic.name === topics.checkpointPublished.name) published.push(event as CheckpointPublished);
        else if (topic.name === topics.ledgerDamaged.name) damages.push(event as LedgerDamaged);
        else throw new Error(`unexpected topic ${topic.name}`);
      });
    },
  };
  const metrics = createMetrics();
  const context = createLedger({
    config: { ...CONFIG, ...options.config },
    clock,
    store,
    bus,
    logger: silentLogger,
    metrics,
    secrets: options.secrets ?? countingSecrets,
    sealer,
  });
  const call = {
    requestId: 'test',
    traceparent: undefined,
    async audit(tx, resource) {
      tx.afterCommit(() => audited.push(resource));
    },
    ...(options.audit && { audit: options.audit }),
  } as Partial<Call> as Call;
  const handlers = context.services[0]!.handlers as unknown as Service;
  return {
    context,
    published,
    damages,
    audited,
    append: (kind, key, payload) =>
      store.transactInTurn((tx) => context.ledger.append(tx, kind, key, Buffer.from(payload))),
    appendMany: (count, first = 0) =>
      store.transactInTurn(async (tx) => {
        for (let i = first; i < first + count; i++)
          await context.ledger.append(tx, 'test.entry', `key-${i}`, Buffer.from(`payload ${i}`));
      }),
    round: () => clock.advance(CONFIG.checkpointIntervalMs),
    call,
    rpc: createRpc(handlers, call),
    exposition: () => metrics.exposition(),
  };
}

function createRpc(handlers: Service, call: Call): LedgerWorld['rpc'] {
  const checkpoint = (message: unknown) => create(CheckpointSchema, message as Checkpoint);
  return {
    async append(request) {
      return (await handlers.append(create(AppendRequestSchema, request), call)) as never;
    },
    async getEntry(index) {
      const request = create(GetEntryRequestSchema, { index: BigInt(index) });
      return (await handlers.getEntry(request, call)).entry as LedgerEntry;
    },
    async listEntries(request) {
      return (await handlers.listEntries(create(ListEntriesRequestSchema, request), call)) as never;
    },
    async getCheckpoint(treeSize) {
      const request = create(GetCheckpointRequestSchema, treeSize === undefined ? {} : { treeSize });
      return checkpoint((await handlers.getCheckpoint(request, call)).checkpoint);
    },
    async getInclusionProof(request) {
      return (await handlers.getInclusionProof(
        create(GetInclusionProofRequestSchema, request),
        call,
      )) as never;
    },
    async getConsistencyProof(request) {
      return (await handlers.getConsistencyProof(
        create(GetConsistencyProofRequestSchema, request),
        call,
      )) as never;
    },
    getLogKeys: handlers.getLogKeys,
    async importCosignature(note) {
      const request = create(ImportCosignatureRequestSchema, { note });
      return (await handlers.importCosignature(request, call)).storedLines!;
    },
    watch(resumeSize, signal) {
      const request = create(WatchCheckpointsRequestSchema, resumeSize === undefined ? {} : { resumeSize });
      return handlers.watchCheckpoints(request, { ...call, signal })[Symbol.asyncIterator]();
    },
  };
}
