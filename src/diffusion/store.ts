/**
 * Priors in SQL. A prior never changes: it is written once and deleted once, of a stream when five newer ones are there.
 * Ids sort in the order priors were made, so a list goes by id, newest first, and its place in it is an id.
 */
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  type Prior as PriorMessage,
  PriorSchema,
} from '../gen/homeostat/diffusion/v1/diffusion_service_pb.ts';
import type { Migration, Queries, Store, Tx } from '../store/store.ts';
import { diffusionError } from './errors.ts';
import { diffusionMapMaskMigration, diffusionMapMigration, type StreamName } from './prior/map-store.ts';
import { type Prior, priorBytes, priorFromBytes } from './prior/prior.ts';

interface PriorRow {
  prior_id: string;
  version: number;
  rows: number;
  cols: number;
  /** Prior, protobuf: everything but the numbers. */
  card: Uint8Array;
  /** Numbers, as `priorBytes` writes them. */
  spectrum: Uint8Array;
  /** Of the stream it was fitted to; null where the maps were given. */
  domain: string | null;
  cluster: string | null;
}

interface DiffusionTables {
  diffusion_prior: PriorRow;
}

export const diffusionMigrations: readonly Migration[] = [
  {
    id: 'diffusion_001_priors',
    async up(schema, types) {
      await schema
        .createTable('diffusion_prior')
        .addColumn('prior_id', types.text, (column) => column.primaryKey())
        .addColumn('version', types.integer, (column) => column.notNull())
        .addColumn('rows', types.integer, (column) => column.notNull())
        .addColumn('cols', types.integer, (column) => column.notNull())
        .addColumn('card', types.bytes, (column) => column.notNull())
        .addColumn('spectrum', types.bytes, (column) => column.notNull())
        .execute();
    },
  },
  diffusionMapMigration,
  {
    id: 'diffusion_003_streams',
    async up(schema, types) {
      await schema.alterTable('diffusion_prior').addColumn('domain', types.text).execute();
      await schema.alterTable('diffusion_prior').addColumn('cluster', types.text).execute();
      await schema
        .createIndex('diffusion_prior_stream')
        .on('diffusion_prior')
        .columns(['domain', 'cluster', 'prior_id'])
        .execute();
    },
  },
  diffusionMapMaskMigration,
];

/** Priors of one stream that are kept. */
const PER_STREAM = 5;

/** A prior with its numbers. */
export interface StoredPrior {
  readonly message: PriorMessage;
  readonly prior: Prior;
}

/** How a deletion ended. */
export type Deletion = 'DELETED' | 'NOT_FOUND' | { readonly current: number };

export interface PriorStore {
  /** Adds a prior; of those of its stream the newest five stay. */
  add(tx: Tx, message: PriorMessage, prior: Prior): Promise<void>;
  /** Reads the numbers too, 12 bytes a cell. */
  load(priorId: string): Promise<StoredPrior | undefined>;
  find(priorId: string): Promise<PriorMessage | undefined>;
  /** At most `limit` priors older than `before`, newest first. */
  list(before: string | undefined, limit: number): Promise<readonly PriorMessage[]>;
  remove(tx: Tx, priorId: string, version: number): Promise<Deletion>;
}

export function createPriorStore(store: Pick<Store, 'query'>): PriorStore {
  return {
    async add(tx, message, prior) {
      const query = tx.query<DiffusionTables>();
      const stream = message.stream && { domain: message.stream.domain, cluster: message.stream.cluster };
      await query
        .insertInto('diffusion_prior')
        .values({
          prior_id: message.priorId,
          version: Number(message.version),
          rows: prior.rows,
          cols: prior.cols,
          card: toBinary(PriorSchema, message),
          spectrum: priorBytes(prior),
          domain: stream?.domain ?? null,
          cluster: stream?.cluster ?? null,
        })
        .execute();
      if (stream) await keepNewest(query, stream);
    },
    async load(priorId) {
      const row = await store
        .query<DiffusionTables>()
        .selectFrom('diffusion_prior')
        .selectAll()
        .where('prior_id', '=', priorId)
        .executeTakeFirst();
      if (row === undefined) return undefined;
      const { rows, cols, card, spectrum } = row;
      return { message: fromBinary(PriorSchema, card), prior: priorFromBytes(rows, cols, spectrum) };
    },
    async find(priorId) {
      const row = await store
        .query<DiffusionTables>()
        .selectFrom('diffusion_prior')
        .select('card')
        .where('prior_id', '=', priorId)
        .executeTakeFirst();
      return row && fromBinary(PriorSchema, row.card);
    },
    async list(before, limit) {
      let query = store.query<DiffusionTables>().selectFrom('diffusion_prior').select('card');
      if (before !== undefined) query = query.where('prior_id', '<', before);
      const rows = await query.orderBy('prior_id', 'desc').limit(limit).execute();
      return rows.map(({ card }) => fromBinary(PriorSchema, card));
    },
    async remove(tx, priorId, version) {
      const query = tx.query<DiffusionTables>();
      const { numDeletedRows } = await query
        .deleteFrom('diffusion_prior')
        .where('prior_id', '=', priorId)
        .where('version', '=', version)
        .executeTakeFirst();
      if (numDeletedRows > 0n) return 'DELETED';
      const row = await query
        .selectFrom('diffusion_prior')
        .select('version')
        .where('prior_id', '=', priorId)
        .executeTakeFirst();
      return row ? { current: row.version } : 'NOT_FOUND';
    },
  };
}

async function keepNewest(query: Queries<DiffusionTables>, stream: StreamName): Promise<void> {
  const rows = await query
    .selectFrom('diffusion_prior')
    .select('prior_id')
    .where((column) => column.and({ ...stream }))
    .orderBy('prior_id', 'desc')
    .limit(PER_STREAM + 1)
    .execute();
  const last = rows[PER_STREAM];
  if (last === undefined) return;
  await query
    .deleteFrom('diffusion_prior')
    .where((column) => column.and({ ...stream }))
    .where('prior_id', '<=', last.prior_id)
    .execute();
}

/** The prior a request names: undefined, meaning STANDARD, for an empty id. Throws PRIOR_NOT_FOUND. */
export async function namedPrior(
  priors: Pick<PriorStore, 'load'>,
  priorId: string,
): Promise<StoredPrior | undefined> {
  if (priorId === '') return undefined;
  const stored = await priors.load(priorId);
  if (stored === undefined) throw diffusionError('PRIOR_NOT_FOUND', { prior_id: priorId });
  return stored;
}
