/**
 * What forecasts learned of a stream, in SQL: one row per stream, written and read beside the snapshot of its maps. Times
 * are milliseconds since 1970.
 */
import { deserialize, serialize } from 'node:v8';
import type { BoundaryRule } from '../../numeric/stencil.ts';
import type { Migration, Queries } from '../../store/store.ts';
import type { StreamName } from '../map/map-message.ts';
import type { ForecasterState } from './forecaster.ts';

interface ForecastRow {
  domain: string;
  cluster: string;
  /** Start of the last window it covers. */
  through_ms: number;
  /** ForecastSnapshot, structured clone format. */
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

/** What a stream's maps are forecast by, beside what was learned. */
export interface ForecastSettings {
  readonly boundary: BoundaryRule;
  /** Whether forecasts keep the total of the map they start from. */
  readonly conserves: boolean;
}

/** What was learned, and the settings in force. */
export interface ForecastSnapshot {
  readonly settings: ForecastSettings;
  readonly state: ForecasterState;
}

/** What was learned up to and with the window of `throughMs`; undefined when that is not what is held. */
export async function readForecast(
  query: Queries<ForecastTables>,
  stream: StreamName,
  throughMs: number,
): Promise<ForecastSnapshot | undefined> {
  const row = await query
    .selectFrom('energy_forecast')
    .select('payload')
    .where((column) => column.and({ ...stream, through_ms: throughMs }))
    .executeTakeFirst();
  return row && (deserialize(row.payload) as ForecastSnapshot);
}

/** Replaces what is held of a stream. */
export async function writeForecast(
  query: Queries<ForecastTables>,
  stream: StreamName,
  throughMs: number,
  snapshot: ForecastSnapshot,
): Promise<void> {
  const row = { through_ms: throughMs, payload: serialize(snapshot) };
  await query
    .insertInto('energy_forecast')
    .values({ ...stream, ...row })
    .onConflict((conflict) => conflict.columns(['domain', 'cluster']).doUpdateSet(row))
    .execute();
}
