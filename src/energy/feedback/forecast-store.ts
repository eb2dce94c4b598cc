/**
 * What forecasts learned of a stream, in SQL: one row per stream, written and read beside the snapshot of its maps. It
 * points at the snapshots of the stream's models. Times are milliseconds since 1970.
 */
import { deserialize, serialize } from 'node:v8';
import type { Migration, Tx } from '../../store/store.ts';
import type { ForecastSettings } from '../forecast/settings.ts';
import type { StreamName } from '../stream/stream-name.ts';
import {
  type ModelsIndex,
  type PackedModels,
  type Reader,
  readSnapshots,
  writeSnapshots,
} from './model-store.ts';
import type { StreamModelsState } from './stream-models.ts';

interface ForecastRow {
  domain: string;
  cluster: string;
  /** Start of the last window it covers. */
  through_ms: number;
  /** Held, structured clone format. */
  payload: Uint8Array;
}

export interface ForecastTables {
  energy_forecast: ForecastRow;
}

export const energyForecastMigration: Migration = {
  id: 'energy_003_forecasts',
  async up(schema, types) {
    await schema
      .createTable('energy_forecast')
      .addColumn('domain', types.text, (column) => column.notNull())
      .addColumn('cluster', types.text, (column) => column.notNull())
      .addColumn('through_ms', types.integer, (column) => column.notNull())
      .addColumn('payload', types.bytes, (column) => column.notNull())
      .addPrimaryKeyConstraint('energy_forecast_key', ['domain', 'cluster'])
      .execute();
  },
};

/** What was learned, and the settings in force. */
export interface ForecastSnapshot {
  readonly settings: ForecastSettings;
  readonly models: PackedModels;
}

/** The same as a restart reads it; what is missing begins anew. */
export interface RecoveredForecast {
  readonly settings: ForecastSettings;
  readonly models: Partial<StreamModelsState>;
}

/** What a row holds: the settings, and where the models' snapshots are. */
interface Held {
  readonly settings: ForecastSettings;
  readonly models: ModelsIndex;
}

/** What forecasts learned up to and with the window of `throughMs`; undefined when that is not what is held. */
export async function readForecast(
  reader: Reader,
  stream: StreamName,
  throughMs: number,
): Promise<RecoveredForecast | undefined> {
  const row = await reader
    .query<ForecastTables>()
    .selectFrom('energy_forecast')
    .select('payload')
    .where((column) => column.and({ ...stream, through_ms: throughMs }))
    .executeTakeFirst();
  if (row === undefined) return undefined;
  const { settings, models } = deserialize(row.payload) as Held;
  return { settings, models: await readSnapshots(reader, stream, models) };
}

/** Replaces what is held of a stream. */
export async function writeForecast(
  tx: Tx,
  stream: StreamName,
  throughMs: number,
  { settings, models }: ForecastSnapshot,
): Promise<void> {
  await writeSnapshots(tx, stream, models);
  const held: Held = { settings, models: models.index };
  const row = { through_ms: throughMs, payload: serialize(held) };
  await tx
    .query<ForecastTables>()
    .insertInto('energy_forecast')
    .values({ ...stream, ...row })
    .onConflict((conflict) => conflict.columns(['domain', 'cluster']).doUpdateSet(row))
    .execute();
}
