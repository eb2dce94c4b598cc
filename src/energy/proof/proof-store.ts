/**
 * Proofs in SQL, kept for good: what they say, which nonces their callers have used, which observations of a stream are
 * verified, and the head of each stream's chain of receipts. A proof without a stream has an empty one. Nonces, digests
 * and heads are claimed by writing them, so that of two servers at once one waits for the other or starts again.
 */
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { type Proof, ProofSchema } from '../../gen/homeostat/energy/v1/proof_service_pb.ts';
import type { Migration, Tx } from '../../store/store.ts';
import type { StreamName } from '../stream/stream-name.ts';

interface ProofRow {
  proof_id: string;
  domain: string;
  cluster: string;
  verdict: number;
  issued_at_ms: number;
  /** Proof, protobuf. */
  payload: Uint8Array;
}

interface ProofTables {
  energy_proof: ProofRow;
  energy_proof_nonce: { principal: string; nonce: string; proof_id: string };
  energy_proof_digest: { domain: string; cluster: string; digest: string; proof_id: string };
  energy_proof_chain: { domain: string; cluster: string; head: Uint8Array };
}

export const energyProofMigration: Migration = {
  id: 'energy_006_proofs',
  async up(schema, types) {
    await schema
      .createTable('energy_proof')
      .addColumn('proof_id', types.text, (column) => column.primaryKey())
      .addColumn('domain', types.text, (column) => column.notNull())
      .addColumn('cluster', types.text, (column) => column.notNull())
      .addColumn('verdict', types.integer, (column) => column.notNull())
      .addColumn('issued_at_ms', types.integer, (column) => column.notNull())
      .addColumn('payload', types.bytes, (column) => column.notNull())
      .execute();
    await schema
      .createIndex('energy_proof_issued')
      .on('energy_proof')
      .columns(['issued_at_ms', 'proof_id'])
      .execute();
    await schema
      .createIndex('energy_proof_stream')
      .on('energy_proof')
      .columns(['domain', 'cluster', 'issued_at_ms', 'proof_id'])
      .execute();
    await schema
      .createTable('energy_proof_nonce')
      .addColumn('principal', types.text, (column) => column.notNull())
      .addColumn('nonce', types.text, (column) => column.notNull())
      .addColumn('proof_id', types.text, (column) => column.notNull())
      .addPrimaryKeyConstraint('energy_proof_nonce_key', ['principal', 'nonce'])
      .execute();
    await schema
      .createTable('energy_proof_digest')
      .addColumn('domain', types.text, (column) => column.notNull())
      .addColumn('cluster', types.text, (column) => column.notNull())
      .addColumn('digest', types.text, (column) => column.notNull())
      .addColumn('proof_id', types.text, (column) => column.notNull())
      .addPrimaryKeyConstraint('energy_proof_digest_key', ['domain', 'cluster', 'digest'])
      .execute();
    await schema
      .createTable('energy_proof_chain')
      .addColumn('domain', types.text, (column) => column.notNull())
      .addColumn('cluster', types.text, (column) => column.notNull())
      .addColumn('head', types.bytes, (column) => column.notNull())
      .addPrimaryKeyConstraint('energy_proof_chain_key', ['domain', 'cluster'])
      .execute();
  },
};

/** The store, or a transaction. */
type Reader = Pick<Tx, 'query'>;

const NO_STREAM: StreamName = { domain: '', cluster: '' };

/** The columns of a stream alone. */
function keyOf(stream: StreamName | undefined) {
  const { domain, cluster } = stream ?? NO_STREAM;
  return { domain, cluster };
}

/** A proof as it was issued. */
export async function findProof(reader: Reader, proofId: string): Promise<Proof | undefined> {
  const row = await reader
    .query<ProofTables>()
    .selectFrom('energy_proof')
    .select('payload')
    .where('proof_id', '=', proofId)
    .executeTakeFirst();
  return row && fromBinary(ProofSchema, row.payload);
}

/** Where a list goes on: after the proof issued then. */
export interface ProofPlace {
  readonly issuedAtMs: number;
  readonly proofId: string;
}

export interface ProofFilter {
  readonly stream: StreamName | undefined;
  /** 0 for any. */
  readonly verdict: number;
  readonly fromMs: number | undefined;
  readonly beforeMs: number | undefined;
  readonly after: ProofPlace | undefined;
  readonly limit: number;
}

/** Proofs, newest first; those of one millisecond by descending id. */
export async function listProofs(reader: Reader, filter: ProofFilter): Promise<Proof[]> {
  const { stream, verdict, fromMs, beforeMs, after } = filter;
  let query = reader.query<ProofTables>().selectFrom('energy_proof').select('payload');
  if (stream) query = query.where((row) => row.and(keyOf(stream)));
  if (verdict !== 0) query = query.where('verdict', '=', verdict);
  if (fromMs !== undefined) query = query.where('issued_at_ms', '>=', fromMs);
  if (beforeMs !== undefined) query = query.where('issued_at_ms', '<', beforeMs);
  if (after !== undefined)
    query = query
      .where('issued_at_ms', '<=', after.issuedAtMs)
      .where((row) =>
        row.or([row('issued_at_ms', '<', after.issuedAtMs), row('proof_id', '<', after.proofId)]),
      );
  const rows = await query
    .orderBy('issued_at_ms', 'desc')
    .orderBy('proof_id', 'desc')
    .limit(filter.limit)
    .execute();
  return rows.map(({ payload }) => fromBinary(ProofSchema, payload));
}

/** A proof that verified an observation of the stream by one of these digests. */
export async function findVerified(
  tx: Tx,
  stream: StreamName | undefined,
  digests: readonly Uint8Array[],
): Promise<string | undefined> {
  const row = await tx
    .query<ProofTables>()
    .selectFrom('energy_proof_digest')
    .select('proof_id')
    .where((column) => column.and(keyOf(stream)))
    .where('digest', 'in', digests.map(hex))
    .executeTakeFirst();
  return row?.proof_id;
}

/** Takes a nonce of a caller; the proof that has it already, where one has. */
export async function claimNonce(
  tx: Tx,
  principal: string,
  nonce: Uint8Array,
  proofId: string,
): Promise<string | undefined> {
  const key = { principal, nonce: hex(nonce) };
  const inserted = await tx
    .query<ProofTables>()
    .insertInto('energy_proof_nonce')
    .values({ ...key, proof_id: proofId })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirstOrThrow();
  if (inserted.numInsertedOrUpdatedRows === 1n) return undefined;
  const row = await tx
    .query<ProofTables>()
    .selectFrom('energy_proof_nonce')
    .select('proof_id')
    .where((column) => column.and(key))
    .executeTakeFirstOrThrow();
  return row.proof_id;
}

/**
 * Marks an observation of a stream as verified, by each of its digests. The caller has looked in this transaction that it
 * is not: a server that does so meanwhile is a conflict, which begins the transaction again.
 */
export async function claimDigests(
  tx: Tx,
  stream: StreamName | undefined,
  digests: readonly Uint8Array[],
  proofId: string,
): Promise<void> {
  await tx
    .query<ProofTables>()
    .insertInto('energy_proof_digest')
    .values(digests.map((digest) => ({ ...keyOf(stream), digest: hex(digest), proof_id: proofId })))
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

/** Hash of the stream's last receipt; empty before its first. */
export async function chainHead(tx: Tx, stream: StreamName): Promise<Uint8Array> {
  const row = await tx
    .query<ProofTables>()
    .selectFrom('energy_proof_chain')
    .select('head')
    .where((column) => column.and(keyOf(stream)))
    .executeTakeFirst();
  return row?.head ?? new Uint8Array(0);
}

export async function moveChain(tx: Tx, stream: StreamName, head: Uint8Array): Promise<void> {
  await tx
    .query<ProofTables>()
    .insertInto('energy_proof_chain')
    .values({ ...keyOf(stream), head })
    .onConflict((conflict) => conflict.columns(['domain', 'cluster']).doUpdateSet({ head }))
    .execute();
}

export async function saveProof(tx: Tx, proof: Proof, issuedAtMs: number): Promise<void> {
  const { proofId, verdict, stream } = proof;
  await tx
    .query<ProofTables>()
    .insertInto('energy_proof')
    .values({
      proof_id: proofId,
      ...keyOf(stream),
      verdict,
      issued_at_ms: issuedAtMs,
      payload: toBinary(ProofSchema, proof),
    })
    .execute();
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
