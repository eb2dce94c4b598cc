/**
 * Forecasts that were answered from a stream's latest map, in SQL: each once, for 7 days of wall time after the window it
 * foretells could be over, or after it was scored, as far as its stream's room goes. Cells are float32, as they were
 * answered.
 */
import { derivedId } from '../../ids.ts';
import type { ColumnTypes, Migration, Store, Tx } from '../../store/store.ts';
import type { StreamName } from '../stream/stream-name.ts';

/** How long a forecast is kept once it could be scored. */
const KEPT_MS = 7 * 24 * 60 * 60 * 1000;
const FLOAT_BYTES = 4;
/** Prediction, lower and upper. */
const GRIDS = 3;
/**
 * Room for a stream's forecasts, 256 MiB: whoever asks about each window of 10 s keeps 64x64 forecasts for 15 h, and
 * whoever asks about everything at once cannot fill the disk. A sixteenth of what its maps take in 30 days.
 */
const STREAM_BYTES_MAX = 256 * 1024 * 1024;
/** The least a row counts for: a page, with its share of the indexes. */
const ROW_BYTES_MIN = 4096;
/** Share of a full stream's rows dropped at once, so that few questions pay for it, and the most rows. */
const DROPPED_SHARE = 1 / 64;
const DROPPED_MAX = 1024;

interface KeptForecastRow {
  forecast_id: string;
  domain: string;
  cluster: string;
  model_version: number;
  /** Windows ahead. */
  horizon: number;
  coverage: number;
  /** Window it foretells. */
  target_start_ms: number;
  target_end_ms: number;
  rows: number;
  cols: number;
  /** Prediction, lower and upper cells, float32 each. */
  cells: Uint8Array;
  /** What a report said of it; null before. */
  vrmse: number | null;
  covered: number | null;
  /** Wall time it is dropped at. */
  expires_at_ms: number;
}

export interface KeptForecastTables {
  energy_kept_forecast: KeptForecastRow;
}

/** Cells of a forecast, row-major. */
export interface ForecastCells {
  readonly prediction: Float32Array;
  readonly lower: Float32Array;
  readonly upper: Float32Array;
}

export interface KeptForecast extends ForecastCells {
  readonly forecastId: string;
  readonly stream: StreamName;
  readonly modelVersion: number;
  /** Windows ahead. */
  readonly horizon: number;
  /** Share of cells its interval was to hold. */
  readonly coverage: number;
  /** Window it foretells, ms since 1970. */
  readonly targetStartMs: number;
  readonly targetEndMs: number;
  readonly rows: number;
  readonly cols: number;
}

/** Names the answer of a model to a question about the map of a window; `question` is the same for equal questions. */
export function forecastIdOf(
  { domain, cluster }: StreamName,
  startMs: number,
  modelVersion: number,
  question: string,
): string {
  return derivedId('energy-forecast', domain, cluster, String(startMs), String(modelVersion), question);
}

/** Part of the migration `energy_005_feedback`. */
export async function createKeptForecasts(
  schema: Parameters<Migration['up']>[0],
  types: ColumnTypes,
): Promise<void> {
  await schema
    .createTable('energy_kept_forecast')
    .addColumn('forecast_id', types.text, (column) => column.primaryKey())
    .addColumn('domain', types.text, (column) => column.notNull())
    .addColumn('cluster', types.text, (column) => column.notNull())
    .addColumn('model_version', types.integer, (column) => column.notNull())
    .addColumn('horizon', types.integer, (column) => column.notNull())
    .addColumn('coverage', types.real, (column) => column.notNull())
    .addColumn('target_start_ms', types.integer, (column) => column.notNull())
    .addColumn('target_end_ms', types.integer, (column) => column.notNull())
    .addColumn('rows', types.integer, (column) => column.notNull())
    .addColumn('cols', types.integer, (column) => column.notNull())
    .addColumn('cells', types.bytes, (column) => column.notNull())
    .addColumn('vrmse', types.real)
    .addColumn('covered', types.real)
    .addColumn('expires_at_ms', types.integer, (column) => column.notNull())
    .execute();
  await schema
    .createIndex('energy_kept_forecast_target')
    .on('energy_kept_forecast')
    .columns(['domain', 'cluster', 'target_start_ms'])
    .execute();
  await schema
    .createIndex('energy_kept_forecast_expiry')
    .on('energy_kept_forecast')
    .column('expires_at_ms')
    .execute();
}

/** Forecasts of so many cells that a stream has room for, 341 to 65,536. */
export function forecastsMax(cells: number): number {
  return Math.floor(STREAM_BYTES_MAX / Math.max(ROW_BYTES_MIN, GRIDS * FLOAT_BYTES * cells));
}

/**
 * Keeps a forecast that is not kept yet; resolves once it is committed. A repeat costs a read. Where its stream has more
 * than `rowsMax` then, a sixty-fourth of them is dropped: of those that were not scored, and of the others once all were,
 * the ones whose windows come first. (All rows count as of this one's size, also those of a layout before.)
 */
export async function keepForecast(
  store: Store,
  forecast: KeptForecast,
  nowMs: number,
  rowsMax = forecastsMax(forecast.rows * forecast.cols),
): Promise<void> {
  const { forecastId, stream, modelVersion, horizon, coverage, targetStartMs, targetEndMs } = forecast;
  const known = await store
    .query<KeptForecastTables>()
    .selectFrom('energy_kept_forecast')
    .select('forecast_id')
    .where('forecast_id', '=', forecastId)
    .executeTakeFirst();
  if (known) return;
  const widthMs = targetEndMs - targetStartMs;
  const row: KeptForecastRow = {
    ...stream,
    forecast_id: forecastId,
    model_version: modelVersion,
    horizon,
    coverage,
    target_start_ms: targetStartMs,
    target_end_ms: targetEndMs,
    rows: forecast.rows,
    cols: forecast.cols,
    cells: Buffer.concat(
      [forecast.prediction, forecast.lower, forecast.upper].map(
        ({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength),
      ),
    ),
    vrmse: null,
    covered: null,
    expires_at_ms: nowMs + horizon * widthMs + KEPT_MS,
  };
  await store.transact(async (tx) => {
    await tx
      .query<KeptForecastTables>()
      .insertInto('energy_kept_forecast')
      .values(row)
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    await makeRoom(tx, row, rowsMax);
  });
}

/** Drops the oldest forecasts of a stream that has too many, the one just kept aside. */
async function makeRoom(tx: Tx, { domain, cluster, forecast_id: kept }: KeptForecastRow, rowsMax: number) {
  const query = tx.query<KeptForecastTables>();
  const { count } = await query
    .selectFrom('energy_kept_forecast')
    .select((column) => column.fn.countAll().as('count'))
    .where((column) => column.and({ domain, cluster }))
    .executeTakeFirstOrThrow();
  const excess = Number(count) - rowsMax;
  if (excess <= 0) return;
  const dropped = Math.min(DROPPED_MAX, Math.max(excess, Math.floor(DROPPED_SHARE * rowsMax)));
  const oldest = (isScored: boolean, limit: number) =>
    query
      .selectFrom('energy_kept_forecast')
      .select('forecast_id')
      .where((column) => column.and({ domain, cluster }))
      .where('forecast_id', '!=', kept)
      .where('vrmse', isScored ? 'is not' : 'is', null)
      .orderBy('target_start_ms')
      .limit(limit)
      .execute();
  const unscored = await oldest(false, dropped);
  const scored = unscored.length < dropped ? await oldest(true, dropped - unscored.length) : [];
  const ids = [...unscored, ...scored].map((row) => row.forecast_id);
  if (ids.length === 0) return;
  await query.deleteFrom('energy_kept_forecast').where('forecast_id', 'in', ids).execute();
}

export async function findForecast(
  reader: Pick<Tx, 'query'>,
  forecastId: string,
): Promise<KeptForecast | undefined> {
  const row = await reader
    .query<KeptForecastTables>()
    .selectFrom('energy_kept_forecast')
    .selectAll()
    .where('forecast_id', '=', forecastId)
    .executeTakeFirst();
  return row && forecastFromRow(row);
}

/** Ids of the forecasts kept of the window that holds an instant, by rising horizon. */
export async function forecastsOf(
  reader: Pick<Tx, 'query'>,
  stream: StreamName,
  atMs: number,
): Promise<readonly string[]> {
  const rows = await reader
    .query<KeptForecastTables>()
    .selectFrom('energy_kept_forecast')
    .select('forecast_id')
    .where((column) => column.and({ ...stream }))
    .where('target_start_ms', '<=', atMs)
    .where('target_end_ms', '>', atMs)
    .orderBy('horizon')
    .orderBy('forecast_id')
    .execute();
  return rows.map((row) => row.forecast_id);
}

/** Notes how a forecast did, which keeps it for 7 days from now. */
export async function scoreForecast(
  tx: Tx,
  forecastId: string,
  { vrmse, covered }: { readonly vrmse: number; readonly covered: number },
  nowMs: number,
): Promise<void> {
  await tx
    .query<KeptForecastTables>()
    .updateTable('energy_kept_forecast')
    .set({ vrmse, covered, expires_at_ms: nowMs + KEPT_MS })
    .where('forecast_id', '=', forecastId)
    .execute();
}

/** Drops forecasts whose time is over. */
export async function pruneForecasts(store: Store, nowMs: number): Promise<void> {
  await store.transact((tx) =>
    tx
      .query<KeptForecastTables>()
      .deleteFrom('energy_kept_forecast')
      .where('expires_at_ms', '<=', nowMs)
      .execute(),
  );
}

function forecastFromRow(row: KeptForecastRow): KeptForecast {
  // A copy: the bytes of a row need not be aligned.
  const { buffer } = new Uint8Array(row.cells);
  const count = row.rows * row.cols;
  const cells = (nth: number) => new Float32Array(buffer, nth * count * FLOAT_BYTES, count);
  return {
    forecastId: row.forecast_id,
    stream: { domain: row.domain, cluster: row.cluster },
    modelVersion: row.model_version,
    horizon: row.horizon,
    coverage: row.coverage,
    targetStartMs: row.target_start_ms,
    targetEndMs: row.target_end_ms,
    rows: row.rows,
    cols: row.cols,
    prediction: cells(0),
    lower: cells(1),
    upper: cells(2),
  };
}
