/**
 * An audit trail on a real store, with a bus that keeps the events of committed transactions, and a ledger in memory
 * that takes part in the caller's transaction and proves nothing until it is published.
 */
import { createHash } from 'node:crypto';
import { create, type MessageInitShape, type MessageShape } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { topics } from '../../../src/bus/topics.ts';
import {
  AuditService,
  ExportAuditRequestSchema,
  type ExportAuditResponse,
  ExportAuditResponseSchema,
  GetAuditHeadRequestSchema,
  type GetAuditHeadResponse,
  GetAuditHeadResponseSchema,
  QueryAuditRequestSchema,
  type QueryAuditResponse,
  QueryAuditResponseSchema,
  VerifyAuditRequestSchema,
  type VerifyAuditResponse,
  VerifyAuditResponseSchema,
} from '../../../src/gen/homeostat/identity/v1/audit_service_pb.ts';
import type { AuditAnchored } from '../../../src/gen/homeostat/identity/v1/identity_events_pb.ts';
import { AuditAnchoredSchema } from '../../../src/gen/homeostat/identity/v1/identity_events_pb.ts';
import type { AuditTables, Reader } from '../../../src/identity/audit/audit-store.ts';
import { listEntries } from '../../../src/identity/audit/audit-store.ts';
import { type Audit, type AuditConfig, createAudit } from '../../../src/identity/audit/context.ts';
import type { Entry } from '../../../src/identity/audit/entry.ts';
import type { Ledger } from '../../../src/identity/audit/sweep.ts';
import { createMetrics } from '../../../src/observability.ts';
import type { AuditRecord } from '../../../src/rpc/audit.ts';
import type { Call, Handlers } from '../../../src/rpc/handler.ts';
import type { Store, Tx } from '../../../src/store/store.ts';
import { callOf } from '../../support/calls.ts';
import type { FakeClock } from '../../support/fake-clock.ts';
import { silentLogger } from '../../support/stores.ts';

export const DAY_MS = 86_400_000;

export const CONFIG: AuditConfig = {
  anchorIntervalMs: 60_000,
  anchorEntriesMax: 1_000,
  retentionMs: 365 * DAY_MS,
  sumsMax: 10_000,
  sumEntriesMax: 1_000,
  proofWaitMs: 10_000,
};

/** A ledger in memory. */
export interface MemoryLedger extends Ledger {
  /** Committed entries, by index. */
  readonly entries: { readonly key: string; payload: Uint8Array }[];
  /** Everything appended so far can be proven from now on; at once for what comes when `always`. */
  publish(always?: boolean): void;
  /** What append rejects with, from now on. */
  broken: Error | undefined;
}

export function createMemoryLedger(): MemoryLedger {
  const entries: MemoryLedger['entries'] = [];
  let published = 0;
  return {
    entries,
    broken: undefined,
    async append(tx: Tx, kind: string, key: string, payload: Uint8Array) {
      if (this.broken) throw this.broken;
      if (kind !== 'audit') throw new Error(`the trail has no entries of kind ${kind}`);
      const known = entries.findIndex((entry) => entry.key === key);
      if (known >= 0 && Buffer.compare(entries[known]!.payload, payload) !== 0)
        throw new Error(`${key} is taken`);
      if (known >= 0) return { index: known };
      const index = entries.length;
      tx.afterCommit(() => void entries.push({ key, payload: payload.slice() }));
      return { index };
    },
    async prove(index: number) {
      if (index >= published) return undefined;
      const { key, payload } = entries[index]!;
      return {
        entry: { index: BigInt(index), kind: 'identity.audit', key, payload },
        proof: [],
        checkpoint: { treeSize: BigInt(published) },
      };
    },
    publish(always = false) {
      published = always ? Number.MAX_SAFE_INTEGER : entries.length;
    },
  };
}

/** A call to be recorded, answered OK. */
export function recordOf(changed: Partial<AuditRecord> = {}): AuditRecord {
  return {
    principal: 'ada',
    method: 'homeostat.session.v1.SessionService/CreateSession',
    code: 'OK',
    reason: '',
    peer: '192.0.2.1',
    resource: 'session/1',
    requestDigest: new Uint8Array(createHash('sha256').update('request').digest()),
    requestId: 'r1',
    ...changed,
  };
}

/** Adds an entry to the trail, `changed` from `recordOf`. */
export type AddEntry = (changed?: Partial<AuditRecord>) => Promise<void>;

export interface AuditWorld {
  readonly audit: Audit;
  readonly ledger: MemoryLedger;
  /** Events of committed transactions. */
  readonly anchored: readonly AuditAnchored[];
  readonly add: AddEntry;
  entries(): Promise<Entry[]>;
  query(
    request?: MessageInitShape<typeof QueryAuditRequestSchema>,
  ): Promise<Pick<QueryAuditResponse, 'entries' | 'nextPageToken'>>;
  head(): Promise<GetAuditHeadResponse>;
  verify(request?: MessageInitShape<typeof VerifyAuditRequestSchema>): Promise<VerifyAuditResponse[]>;
  export(
    request?: MessageInitShape<typeof ExportAuditRequestSchema>,
    call?: Partial<Call>,
  ): Promise<ExportAuditResponse[]>;
  exposition(): Promise<string>;
}

export function createAuditWorld(options: {
  readonly store: Store;
  readonly clock: FakeClock;
  readonly config?: Partial<AuditConfig>;
  readonly ledger?: MemoryLedger;
  /** A real ledger; the one in memory is of no use then. */
  readonly port?: Ledger;
}): AuditWorld {
  const { store, clock } = options;
  const ledger = options.ledger ?? createMemoryLedger();
  const anchored: AuditAnchored[] = [];
  const metrics = createMetrics();
  const audit = createAudit({
    config: { ...CONFIG, ...options.config },
    clock,
    store,
    logger: silentLogger,
    metrics,
    ledger: options.port ?? ledger,
    bus: {
      async record(tx, topic, key, message) {
        expectTopic(topic.name, key, String((message as { sequence?: bigint }).sequence));
        tx.afterCommit(() =>
          anchored.push(create(AuditAnchoredSchema, message as MessageInitShape<typeof AuditAnchoredSchema>)),
        );
      },
    },
  });
  const handlers = audit.service.handlers as unknown as Handlers<typeof AuditService>;
  return {
    audit,
    ledger,
    anchored,
    add: (changed) => audit.sink.commit(recordOf(changed)),
    entries: () => allEntries(store),
    async query(request = {}) {
      const reply = await handlers.queryAudit(create(QueryAuditRequestSchema, request), callOf());
      return create(QueryAuditResponseSchema, reply as MessageShape<typeof QueryAuditResponseSchema>);
    },
    async head() {
      const reply = await handlers.getAuditHead(create(GetAuditHeadRequestSchema), callOf());
      return create(GetAuditHeadResponseSchema, reply as MessageShape<typeof GetAuditHeadResponseSchema>);
    },
    async verify(request = {}) {
      const replies: VerifyAuditResponse[] = [];
      for await (const reply of handlers.verifyAudit(create(VerifyAuditRequestSchema, request), callOf()))
        replies.push(create(VerifyAuditResponseSchema, reply));
      return replies;
    },
    async export(request = { range: {} }, call = {}) {
      const items: ExportAuditResponse[] = [];
      const audited = callOf({
        audit: (tx, resource) => audit.sink.record(tx, recordOf({ resource, method: EXPORT })),
        ...call,
      });
      for await (const item of handlers.exportAudit(create(ExportAuditRequestSchema, request), audited))
        items.push(create(ExportAuditResponseSchema, item));
      return items;
    },
    exposition: () => metrics.exposition(),
  };
}

const EXPORT = `${AuditService.typeName}/${AuditService.method.exportAudit.name}`;

function expectTopic(name: string, key: string, sequence: string): void {
  if (name !== topics.auditAnchored.name || key !== sequence)
    throw new Error(`the trail records no ${name} ${key}`);
}

/** Everything stored, in the order of the chain. */
export function allEntries(reader: Reader): Promise<Entry[]> {
  return listEntries(reader, { after: 0, last: Number.MAX_SAFE_INTEGER, limit: 1_000_000 });
}

/** Changes an entry behind the trail's back. */
export async function tamper(
  store: Store,
  sequence: number,
  changed: Partial<AuditTables['identity_audit']>,
): Promise<void> {
  await store.transact(async (tx) => {
    await tx
      .query<AuditTables>()
      .updateTable('identity_audit')
      .set(changed)
      .where('sequence', '=', sequence)
      .execute();
  });
}

/** An instant as the contract has it. */
export function instant(ms: number) {
  return timestampFromMs(ms);
}
