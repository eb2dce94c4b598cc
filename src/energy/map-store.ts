/**
 * The maps a context holds: each a protobuf EnergyMap without its nodes, which lie in the layout it points to, and, for
 * statistical maps and a shorter time, its explanation. Maps of a stream are told apart by the start of their window;
 * retention follows the wall time they were written at. Times are milliseconds since 1970.
 */
import { deserialize, serialize } from 'node:v8';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { type EnergyMap, EnergyMapSchema } from '../gen/homeostat/energy/v1/energy_service_pb.ts';
import type { Migration, Queries, Store, Tx } from '../store/store.ts';
import type { Explanation } from './map/explanation.ts';
import { type JudgedWindow, mapToProto } from './map/map-message.ts';
import type { StreamTables } from './store.ts';
import type { StreamName } from './stream/stream-name.ts';

interface MapRow {
  domain: string;
  cluster: string;
  start_ms: number;
  end_ms: number;
  layout_revision: number;
  /** EnergyMap without nodes, protobuf, its grid raw. */
  payload: Uint8Array;
  written_at_ms: number;
}

interface LayoutRow {
  domain: string;
  cluster: string;
  revision: number;
  /** Node of each cell, JSON. */
  nodes: string;
}

interface ExplanationRow {
  domain: string;
  cluster: string;
  start_ms: number;
  /** Explanation, structured clone format. */
  payload: Uint8Array;
  written_at_ms: number;
}

interface MapTables extends StreamTables {
  energy_map: MapRow;
  energy_layout: LayoutRow;
  energy_explanation: ExplanationRow;
}

export const energyMapMigration: Migration = {
  id: 'energy_002_maps',
  async up(schema, types) {
    await schema
      .createTable('energy_map')
      .addColumn('domain', types.text, (column) => column.notNull())
      .addColumn('cluster', types.text, (column) => column.notNull())
      .addColumn('start_ms', types.integer, (column) => column.notNull())
      .addColumn('end_ms', types.integer, (column) => column.notNull())
      .addColumn('layout_revision', types.integer, (column) => column.notNull())
      .addColumn('payload', types.bytes, (column) => column.notNull())
      .addColumn('written_at_ms', types.integer, (column) => column.notNull())
      .addPrimaryKeyConstraint('energy_map_key', ['domain', 'cluster', 'start_ms'])
      .execute();
    await schema.createIndex('energy_map_written').on('energy_map').column('written_at_ms').execute();
    await schema
      .createTable('energy_layout')
      .addColumn('domain', types.text, (column) => column.notNull())
      .addColumn('cluster', types.text, (column) => column.notNull())
      .addColumn('revision', types.integer, (column) => column.notNull())
      .addColumn('nodes', types.text, (column) => column.notNull())
      .addPrimaryKeyConstraint('energy_layout_key', ['domain', 'cluster', 'revision'])
      .execute();
    await schema
      .createTable('energy_explanation')
      .addColumn('domain', types.text, (column) => column.notNull())
      .addColumn('cluster', types.text, (column) => column.notNull())
      .addColumn('start_ms', types.integer, (column) => column.notNull())
      .addColumn('payload', types.bytes, (column) => column.notNull())
      .addColumn('written_at_ms', types.integer, (column) => column.notNull())
      .addPrimaryKeyConstraint('energy_explanation_key', ['domain', 'cluster', 'start_ms'])
      .execute();
    await schema
      .createIndex('energy_explanation_written')
      .on('energy_explanation')
      .column('written_at_ms')
      .execute();
  },
};

/** A span of a stream's maps, by the start of their windows. */
export interface MapSpan {
  readonly fromMs?: number | undefined;
  readonly beforeMs?: number | undefined;
  readonly order: 'NEWEST' | 'OLDEST';
  readonly limit: number;
}

export interface MapStore {
  /** Adds maps to a stream, each window once. */
  add(tx: Tx, stream: StreamName, maps: readonly JudgedWindow[], nowMs: number): Promise<void>;
  /** The map whose window holds an instant, or the latest; level 0, nodes included, its grid raw. */
  find(stream: StreamName, atMs: number | undefined): Promise<EnergyMap | undefined>;
  /**
   * The first maps of a span, as `find` gives them; none only where the span holds none. What one call reads is bounded: of
   * large maps it gives fewer than asked for.
   */
  list(stream: StreamName, span: MapSpan): Promise<readonly EnergyMap[]>;
  /** Start of the latest map; undefined without any. */
  latestStartMs(stream: StreamName): Promise<number | undefined>;
  /** Start of the oldest map still held; undefined without any. */
  oldestStartMs(stream: StreamName): Promise<number | undefined>;
  explanation(stream: StreamName, startMs: number): Promise<Explanation | undefined>;
  /** Drops maps and explanations written before these instants, and layouts no map uses any more. */
  prune(mapsBeforeMs: number, explanationsBeforeMs: number): Promise<void>;
}

/** Held maps of one `list` are at most this long together, bytes, unless one alone is longer. */
const LIST_BYTES = 8 * 1024 * 1024;

export function createMapStore(store: Store): MapStore {
  const edgeStart = async (stream: StreamName, order: 'asc' | 'desc') => {
    const row = await store
      .query<MapTables>()
      .selectFrom('energy_map')
      .select('start_ms')
      .where((column) => column.and({ ...stream }))
      .orderBy('start_ms', order)
      .limit(1)
      .executeTakeFirst();
    return row?.start_ms;
  };
  return {
    add: (tx, stream, maps, nowMs) => addMaps(tx.query(), stream, maps, nowMs),
    async find(stream, atMs) {
      const query = store.query<MapTables>();
      let rows = query
        .selectFrom('energy_map')
        .selectAll()
        .where((column) => column.and({ ...stream }))
        .orderBy('start_ms', 'desc')
        .limit(1);
      if (atMs !== undefined) rows = rows.where('start_ms', '<=', atMs);
      const row = await rows.executeTakeFirst();
      if (row === undefined || (atMs !== undefined && row.end_ms <= atMs)) return undefined;
      return (await readMaps(query, stream, [row]))[0];
    },
    async list(stream, { fromMs, beforeMs, order, limit }) {
      const query = store.query<MapTables>();
      const direction = order === 'NEWEST' ? 'desc' : 'asc';
      let sizes = query
        .selectFrom('energy_map')
        .select(['start_ms', (column) => column.fn<number>('length', ['payload']).as('bytes')])
        .where((column) => column.and({ ...stream }))
        .orderBy('start_ms', direction)
        .limit(limit);
      if (fromMs !== undefined) sizes = sizes.where('start_ms', '>=', fromMs);
      if (beforeMs !== undefined) sizes = sizes.where('start_ms', '<', beforeMs);
      const starts = withinBytes(await sizes.execute());
      if (starts.length === 0) return [];
      const rows = query.selectFrom('energy_map').selectAll().where('start_ms', 'in', starts);
      const own = rows.where((column) => column.and({ ...stream })).orderBy('start_ms', direction);
      return readMaps(query, stream, await own.execute());
    },
    latestStartMs: (stream) => edgeStart(stream, 'desc'),
    oldestStartMs: (stream) => edgeStart(stream, 'asc'),
    async explanation(stream, startMs) {
      const row = await store
        .query<MapTables>()
        .selectFrom('energy_explanation')
        .select('payload')
        .where((column) => column.and({ ...stream, start_ms: startMs }))
        .executeTakeFirst();
      return row && (deserialize(row.payload) as Explanation);
    },
    prune: (mapsBeforeMs, explanationsBeforeMs) =>
      store.transact(async (tx) => {
        const query = tx.query<MapTables>();
        await query
          .deleteFrom('energy_explanation')
          .where('written_at_ms', '<', explanationsBeforeMs)
          .execute();
        await pruneMaps(query, mapsBeforeMs);
      }),
  };
}

/** As many of the first rows as `list` reads at once. */
function withinBytes(rows: readonly { readonly start_ms: number; readonly bytes: number }[]): number[] {
  let bytes = 0;
  const end = rows.findIndex((row, at) => {
    bytes += row.bytes;
    return at > 0 && bytes > LIST_BYTES;
  });
  return rows.slice(0, end < 0 ? rows.length : end).map((row) => row.start_ms);
}

async function addMaps(
  query: Queries<MapTables>,
  stream: StreamName,
  maps: readonly JudgedWindow[],
  nowMs: number,
): Promise<void> {
  if (maps.length === 0) return;
  const layouts = new Map(maps.map(({ layout }) => [layout.revision, layout]));
  await query
    .insertInto('energy_layout')
    .values(
      [...layouts.values()].map(({ revision, cells }) => ({
        ...stream,
        revision,
        nodes: JSON.stringify(cells),
      })),
    )
    .onConflict((conflict) => conflict.columns(['domain', 'cluster', 'revision']).doNothing())
    .execute();
  await query
    .insertInto('energy_map')
    .values(
      maps.map((map) => ({
        ...stream,
        start_ms: map.startMs,
        end_ms: map.endMs,
        layout_revision: map.layout.revision,
        payload: toBinary(
          EnergyMapSchema,
          create(EnergyMapSchema, { ...mapToProto(stream, map, 'RAW'), nodes: [] }),
        ),
        written_at_ms: nowMs,
      })),
    )
    .execute();
  const explained = maps.flatMap((map) =>
    map.explanation === undefined || map.explanation.nodes.length === 0
      ? []
      : { ...stream, start_ms: map.startMs, payload: serialize(map.explanation), written_at_ms: nowMs },
  );
  if (explained.length > 0) await query.insertInto('energy_explanation').values(explained).execute();
}

/** Rows as maps, the nodes of their layouts put back. */
async function readMaps(
  query: Queries<MapTables>,
  stream: StreamName,
  rows: readonly MapRow[],
): Promise<EnergyMap[]> {
  const revisions = [...new Set(rows.map((row) => row.layout_revision))];
  if (revisions.length === 0) return [];
  const layouts = await query
    .selectFrom('energy_layout')
    .select(['revision', 'nodes'])
    .where((column) => column.and({ ...stream }))
    .where('revision', 'in', revisions)
    .execute();
  const nodes = new Map(layouts.map((layout) => [layout.revision, JSON.parse(layout.nodes) as string[]]));
  return rows.map((row) => {
    const map = fromBinary(EnergyMapSchema, row.payload);
    map.nodes = nodes.get(row.layout_revision) ?? [];
    return map;
  });
}

/** Per stream, since retention follows writing and a stream's maps are written in order of their windows. */
async function pruneMaps(query: Queries<MapTables>, beforeMs: number): Promise<void> {
  const streams = await query
    .selectFrom('energy_map')
    .select(['domain', 'cluster', (column) => column.fn.max('start_ms').as('through_ms')])
    .where('written_at_ms', '<', beforeMs)
    .groupBy(['domain', 'cluster'])
    .execute();
  for (const { domain, cluster, through_ms } of streams) {
    const stream = { domain, cluster };
    await query
      .deleteFrom('energy_map')
      .where((column) => column.and(stream))
      .where('start_ms', '<=', through_ms)
      .execute();
    await query
      .updateTable('energy_stream')
      .set({ pruned_through_ms: through_ms })
      .where((column) => column.and(stream))
      .execute();
    const oldest = await query
      .selectFrom('energy_map')
      .select((column) => column.fn.min('layout_revision').as('revision'))
      .where((column) => column.and(stream))
      .executeTakeFirst();
    // Without any map left the latest layout may still be in use by the next one.
    if (oldest?.revision == null) continue;
    await query
      .deleteFrom('energy_layout')
      .where((column) => column.and(stream))
      .where('revision', '<', oldest.revision)
      .execute();
  }
}
