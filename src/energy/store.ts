/**
 * What this context keeps, in SQL: per stream its configuration, its maps (map-store.ts), and what a restart needs to
 * go on bit for bit: a snapshot of what was learned and the windows that came after it. Event times and wall times are
 * milliseconds since 1970. Maps and inputs of a stream are told apart by the start of their window.
 */
import { deserialize, serialize } from 'node:v8';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { timestampMs } from '@bufbuild/protobuf/wkt';
import { encodeMessage } from '../encode.ts';
import {
  MapMode,
  type StreamConfig,
  StreamConfigSchema,
} from '../gen/homeostat/energy/v1/energy_service_pb.ts';
import { type WindowClosed, WindowClosedSchema } from '../gen/homeostat/telemetry/v1/telemetry_events_pb.ts';
import type { Migration, Queries, Store, Tx } from '../store/store.ts';
import {
  type ForecastSnapshot,
  type RecoveredForecast,
  readForecast,
  writeForecast,
} from './feedback/forecast-store.ts';
import type { MapperSnapshot } from './map/energy-map.ts';
import { readRegime, writeRegime } from './regime/regime-store.ts';
import type { RegimeTrackerState } from './regime/regime-tracker.ts';
import type { StreamName } from './stream/stream-name.ts';

export interface StreamRow {
  domain: string;
  cluster: string;
  /** StreamConfig, protobuf. */
  config: Uint8Array;
  version: number;
  /** MapMode. */
  effective_mode: number;
  map_count: number;
  /** Start of the newest map no longer held. */
  pruned_through_ms: number | null;
}

interface InputRow {
  domain: string;
  cluster: string;
  start_ms: number;
  part: number;
  /** WindowClosed, protobuf. */
  payload: Uint8Array;
}

interface SnapshotRow {
  domain: string;
  cluster: string;
  /** Version of the configuration in force. */
  config_version: number;
  /** Start of the last window it covers. */
  through_ms: number;
  /** MapperSnapshot, structured clone format. */
  payload: Uint8Array;
}

export interface StreamTables {
  energy_stream: StreamRow;
  energy_input: InputRow;
  energy_snapshot: SnapshotRow;
}

export const energyStreamMigration: Migration = {
  id: 'energy_001_streams',
  async up(schema, types) {
    await schema
      .createTable('energy_stream')
      .addColumn('domain', types.text, (column) => column.notNull())
      .addColumn('cluster', types.text, (column) => column.notNull())
      .addColumn('config', types.bytes, (column) => column.notNull())
      .addColumn('version', types.integer, (column) => column.notNull())
      .addColumn('effective_mode', types.integer, (column) => column.notNull())
      .addColumn('map_count', types.integer, (column) => column.notNull())
      .addColumn('pruned_through_ms', types.integer)
      .addPrimaryKeyConstraint('energy_stream_key', ['domain', 'cluster'])
      .execute();
    await schema
      .createTable('energy_input')
      .addColumn('domain', types.text, (column) => column.notNull())
      .addColumn('cluster', types.text, (column) => column.notNull())
      .addColumn('start_ms', types.integer, (column) => column.notNull())
      .addColumn('part', types.integer, (column) => column.notNull())
      .addColumn('payload', types.bytes, (column) => column.notNull())
      .addPrimaryKeyConstraint('energy_input_key', ['domain', 'cluster', 'start_ms', 'part'])
      .execute();
    await schema
      .createTable('energy_snapshot')
      .addColumn('domain', types.text, (column) => column.notNull())
      .addColumn('cluster', types.text, (column) => column.notNull())
      .addColumn('config_version', types.integer, (column) => column.notNull())
      .addColumn('through_ms', types.integer, (column) => column.notNull())
      .addColumn('payload', types.bytes, (column) => column.notNull())
      .addPrimaryKeyConstraint('energy_snapshot_key', ['domain', 'cluster'])
      .execute();
  },
};

/** A stream as it is configured and stands. */
export interface StreamRecord {
  /** As it was given; fields unset mean their defaults. */
  readonly config: StreamConfig;
  /** 0 while nobody configured it. */
  readonly version: number;
  /** UNSPECIFIED before the first map. */
  readonly effectiveMode: MapMode;
  readonly mapCount: number;
  /** Undefined while every map made is still held. */
  readonly prunedThroughMs: number | undefined;
}

/** What was learned up to and with a window. */
export interface SnapshotRecord<Forecast = ForecastSnapshot> {
  readonly state: MapperSnapshot;
  /** What forecasts learned; undefined in one written before there were any. */
  readonly forecast: Forecast | undefined;
  /** What was learned of the regime; undefined likewise. */
  readonly regime: RegimeTrackerState | undefined;
  /** Version of the configuration in force. */
  readonly configVersion: number;
  /** Start of that window. */
  readonly throughMs: number;
}

/** What a restart goes on from. */
export interface Recovery {
  readonly snapshot: SnapshotRecord<RecoveredForecast> | undefined;
  /** Parts of the windows after it, in order of start and part. */
  readonly inputs: readonly WindowClosed[];
}

/** What one batch changes of a stream, maps aside. */
export interface Progress {
  readonly stream: StreamName;
  readonly mapCount: number;
  readonly effectiveMode: MapMode;
  /** Parts taken in, except those of windows the snapshot covers. */
  readonly inputs: readonly WindowClosed[];
  /** Replaces the one before; inputs it covers are dropped. */
  readonly snapshot: SnapshotRecord | undefined;
}

export type ConfigureOutcome = { readonly version: number } | { readonly conflict: number };

export interface StreamStore {
  find(stream: StreamName): Promise<StreamRecord | undefined>;
  /** Replaces the configuration of `expectedVersion`; the new version, or the one in the way. */
  configure(
    tx: Tx,
    stream: StreamName,
    config: StreamConfig,
    expectedVersion: number,
  ): Promise<ConfigureOutcome>;
  recover(stream: StreamName): Promise<Recovery>;
  save(tx: Tx, progress: Progress): Promise<void>;
}

export function createStreamStore(store: Store): StreamStore {
  return {
    async find(stream) {
      const row = await store
        .query<StreamTables>()
        .selectFrom('energy_stream')
        .selectAll()
        .where((column) => column.and({ ...stream }))
        .executeTakeFirst();
      return row && streamFromRow(row);
    },
    configure: (tx, stream, config, expectedVersion) =>
      writeConfig(tx.query(), stream, toBinary(StreamConfigSchema, config), expectedVersion),
    recover: (stream) => readRecovery(store, stream),
    async save(tx, progress) {
      const query = tx.query<StreamTables>();
      await saveStanding(query, progress);
      const { stream, snapshot } = progress;
      if (snapshot) await saveSnapshot(query, stream, snapshot);
      if (snapshot?.forecast) await writeForecast(tx, stream, snapshot.throughMs, snapshot.forecast);
      if (snapshot?.regime) await writeRegime(tx.query(), stream, snapshot.throughMs, snapshot.regime);
      if (progress.inputs.length === 0) return;
      const rows = progress.inputs.map((part) => ({
        ...progress.stream,
        start_ms: timestampMs(part.start!),
        part: part.part,
        payload: encodeMessage(WindowClosedSchema, part),
      }));
      await query.insertInto('energy_input').values(rows).execute();
    },
  };
}

function streamFromRow(row: StreamRow): StreamRecord {
  return {
    config: fromBinary(StreamConfigSchema, row.config),
    version: row.version,
    effectiveMode: row.effective_mode as MapMode,
    mapCount: row.map_count,
    prunedThroughMs: row.pruned_through_ms ?? undefined,
  };
}

async function writeConfig(
  query: Queries<StreamTables>,
  stream: StreamName,
  config: Uint8Array,
  expectedVersion: number,
): Promise<ConfigureOutcome> {
  const version = expectedVersion + 1;
  const { numUpdatedRows } = await query
    .updateTable('energy_stream')
    .set({ config, version })
    .where((column) => column.and({ ...stream, version: expectedVersion }))
    .executeTakeFirst();
  if (numUpdatedRows > 0n) return { version };
  if (expectedVersion === 0) {
    const fresh = { effective_mode: MapMode.UNSPECIFIED, map_count: 0, pruned_through_ms: null };
    const { numInsertedOrUpdatedRows } = await query
      .insertInto('energy_stream')
      .values({ ...stream, ...fresh, config, version })
      .onConflict((conflict) => conflict.columns(['domain', 'cluster']).doNothing())
      .executeTakeFirst();
    if ((numInsertedOrUpdatedRows ?? 0n) > 0n) return { version };
  }
  const row = await query
    .selectFrom('energy_stream')
    .select('version')
    .where((column) => column.and({ ...stream }))
    .executeTakeFirst();
  return { conflict: row?.version ?? 0 };
}

async function readRecovery(store: Store, stream: StreamName): Promise<Recovery> {
  const query = store.query<StreamTables>();
  const row = await query
    .selectFrom('energy_snapshot')
    .selectAll()
    .where((column) => column.and({ ...stream }))
    .executeTakeFirst();
  const forecast = row && (await readForecast(store, stream, row.through_ms));
  const regime = row && (await readRegime(store.query(), stream, row.through_ms));
  const inputs = await query
    .selectFrom('energy_input')
    .select('payload')
    .where((column) => column.and({ ...stream }))
    .orderBy('start_ms')
    .orderBy('part')
    .execute();
  return {
    snapshot: row && {
      state: deserialize(row.payload) as MapperSnapshot,
      forecast,
      regime,
      configVersion: row.config_version,
      throughMs: row.through_ms,
    },
    inputs: inputs.map(({ payload }) => fromBinary(WindowClosedSchema, payload)),
  };
}

async function saveStanding(query: Queries<StreamTables>, progress: Progress): Promise<void> {
  const standing = { effective_mode: progress.effectiveMode, map_count: progress.mapCount };
  await query
    .insertInto('energy_stream')
    .values({
      ...progress.stream,
      ...standing,
      config: new Uint8Array(0),
      version: 0,
      pruned_through_ms: null,
    })
    .onConflict((conflict) => conflict.columns(['domain', 'cluster']).doUpdateSet(standing))
    .execute();
}

async function saveSnapshot(
  query: Queries<StreamTables>,
  stream: StreamName,
  snapshot: SnapshotRecord,
): Promise<void> {
  const row = {
    config_version: snapshot.configVersion,
    through_ms: snapshot.throughMs,
    payload: serialize(snapshot.state),
  };
  await query
    .insertInto('energy_snapshot')
    .values({ ...stream, ...row })
    .onConflict((conflict) => conflict.columns(['domain', 'cluster']).doUpdateSet(row))
    .execute();
  await query
    .deleteFrom('energy_input')
    .where((column) => column.and({ ...stream }))
    .where('start_ms', '<=', snapshot.throughMs)
    .execute();
}
