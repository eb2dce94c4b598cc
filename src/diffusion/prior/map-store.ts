/**
 * This context's own index of energy maps: those that came with their grid and enough of it observed, the newest of each
 * stream. Maps of a stream are told apart by the start of their window; retention follows the wall time they were
 * written at. Times are milliseconds since 1970.
 */
import type { Migration, Queries, Store, Tx } from '../../store/store.ts';

/** Names a stream. */
export interface StreamName {
  readonly domain: string;
  readonly cluster: string;
}

/** A map as it is kept. */
export interface StoredMap extends StreamName {
  readonly startMs: number;
  readonly endMs: number;
  readonly rows: number;
  readonly cols: number;
  /** Which arrangement of nodes on cells it has. */
  readonly layoutVersion: number;
  /** Of a cell, as it was announced: J, or 1 for a map of surprise; empty for one kept before this was. */
  readonly unit: string;
  readonly cells: Float32Array;
  /** Which cells were observed, one bit a cell, least significant first; undefined for all. */
  readonly observed: Uint8Array | undefined;
}

interface MapRow {
  domain: string;
  cluster: string;
  start_ms: number;
  end_ms: number;
  rows: number;
  cols: number;
  layout_version: number;
  /** Row-major, little-endian float32. */
  cells: Uint8Array;
  written_at_ms: number;
  unit: string;
  /** Null for all. */
  observed: Uint8Array | null;
}

interface MapTables {
  diffusion_map: MapRow;
}

export const diffusionMapMigration: Migration = {
  id: 'diffusion_002_maps',
  async up(schema, types) {
    await schema
      .createTable('diffusion_map')
      .addColumn('domain', types.text, (column) => column.notNull())
      .addColumn('cluster', types.text, (column) => column.notNull())
      .addColumn('start_ms', types.integer, (column) => column.notNull())
      .addColumn('end_ms', types.integer, (column) => column.notNull())
      .addColumn('rows', types.integer, (column) => column.notNull())
      .addColumn('cols', types.integer, (column) => column.notNull())
      .addColumn('layout_version', types.integer, (column) => column.notNull())
      .addColumn('cells', types.bytes, (column) => column.notNull())
      .addColumn('written_at_ms', types.integer, (column) => column.notNull())
      .addPrimaryKeyConstraint('diffusion_map_key', ['domain', 'cluster', 'start_ms'])
      .execute();
    await schema.createIndex('diffusion_map_written').on('diffusion_map').column('written_at_ms').execute();
  },
};

export const diffusionMapMaskMigration: Migration = {
  id: 'diffusion_004_masks',
  async up(schema, types) {
    const table = () => schema.alterTable('diffusion_map');
    await table()
      .addColumn('unit', types.text, (column) => column.notNull().defaultTo(''))
      .execute();
    await table().addColumn('observed', types.bytes).execute();
  },
};

/** Maps kept of one stream, and taken for one prior. */
export const MAPS_MAX = 4096;
/** Cells of all maps that one prior is fitted to: 128 MiB. */
const CELLS_MAX = 2 ** 25;

/** Windows that start in a span; undefined ends mean none. */
export interface WindowSpan {
  readonly fromMs: number | undefined;
  readonly beforeMs: number | undefined;
}

export interface MapIndex {
  /** Adds maps, each window once, and drops what is then beyond the newest 4,096 of a stream. */
  add(tx: Tx, maps: readonly StoredMap[], nowMs: number): Promise<void>;
  /** The newest maps of a span that share the newest one's unit and arrangement, as many as a prior takes, oldest first. */
  list(stream: StreamName, span: WindowSpan): Promise<readonly StoredMap[]>;
  /** Drops maps written before an instant. */
  prune(beforeMs: number): Promise<void>;
}

export function createMapIndex(store: Pick<Store, 'query' | 'transact'>): MapIndex {
  return {
    async add(tx, maps, nowMs) {
      if (maps.length === 0) return;
      const query = tx.query<MapTables>();
      await query
        .insertInto('diffusion_map')
        .values(maps.map((map) => rowOf(map, nowMs)))
        .onConflict((conflict) => conflict.columns(['domain', 'cluster', 'start_ms']).doNothing())
        .execute();
      const streams = new Map(
        maps.map(({ domain, cluster }) => [`${domain}.${cluster}`, { domain, cluster }] as const),
      );
      for (const stream of streams.values()) await keepNewest(query, stream);
    },
    async list(stream, span) {
      const inSpan = () => {
        let rows = store
          .query<MapTables>()
          .selectFrom('diffusion_map')
          .where((column) => column.and({ ...stream }))
          .orderBy('start_ms', 'desc');
        if (span.fromMs !== undefined) rows = rows.where('start_ms', '>=', span.fromMs);
        if (span.beforeMs !== undefined) rows = rows.where('start_ms', '<', span.beforeMs);
        return rows;
      };
      const newest = await inSpan()
        .select(['rows', 'cols', 'layout_version', 'unit'])
        .limit(1)
        .executeTakeFirst();
      if (newest === undefined) return [];
      const rows = await inSpan()
        .selectAll()
        .where((column) => column.and({ ...newest }))
        .limit(Math.min(MAPS_MAX, Math.floor(CELLS_MAX / (newest.rows * newest.cols))))
        .execute();
      return rows.reverse().map(mapOf);
    },
    prune: (beforeMs) =>
      store.transact(async (tx) => {
        await tx
          .query<MapTables>()
          .deleteFrom('diffusion_map')
          .where('written_at_ms', '<', beforeMs)
          .execute();
      }),
  };
}

async function keepNewest(query: Queries<MapTables>, stream: StreamName): Promise<void> {
  const last = await query
    .selectFrom('diffusion_map')
    .select('start_ms')
    .where((column) => column.and({ ...stream }))
    .orderBy('start_ms', 'desc')
    .offset(MAPS_MAX)
    .limit(1)
    .executeTakeFirst();
  if (last === undefined) return;
  await query
    .deleteFrom('diffusion_map')
    .where((column) => column.and({ ...stream }))
    .where('start_ms', '<=', last.start_ms)
    .execute();
}

function rowOf(map: StoredMap, nowMs: number): MapRow {
  const { buffer, byteOffset, byteLength } = map.cells;
  return {
    domain: map.domain,
    cluster: map.cluster,
    start_ms: map.startMs,
    end_ms: map.endMs,
    rows: map.rows,
    cols: map.cols,
    layout_version: map.layoutVersion,
    cells: new Uint8Array(buffer, byteOffset, byteLength),
    written_at_ms: nowMs,
    unit: map.unit,
    observed: map.observed ?? null,
  };
}

function mapOf({ domain, cluster, rows, cols, unit, ...row }: MapRow): StoredMap {
  return {
    domain,
    cluster,
    rows,
    cols,
    startMs: row.start_ms,
    endMs: row.end_ms,
    layoutVersion: row.layout_version,
    unit,
    observed: row.observed?.slice(),
    // A copy: bytes from a database need not be aligned.
    cells: new Float32Array(row.cells.slice().buffer),
  };
}
