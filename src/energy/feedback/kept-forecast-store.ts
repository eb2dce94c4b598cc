/**
 * Forecasts that were answered from a stream's latest map, in SQL: each once, for 7 days of wall time after the window it
 * foretells could be over, or after it was scored. Cells are float32, as they were answered.
 */
import { derivedId } from '../../ids.ts';
import type { Store, Tx } from '../../store/store.ts';
import type { StreamName } from '../map/map-message.ts';
import type { FeedbackTables, KeptForecastRow } from './feedback-tables-store.ts';
import type { Reader } from './model-store.ts';
import type { ForecastCells, Outcome } from './outcome.ts';

/** How long a forecast is kept once it could be scored. */
const KEPT_MS = 7 * 24 * 60 * 60 * 1000;
const FLOAT_BYTES = 4;

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

/** Keeps a forecast that is not kept yet; resolves once it is committed. A repeat costs a read. */
export async function keepForecast(store: Store, forecast: KeptForecast, nowMs: number): Promise<void> {
  const { forecastId, stream, modelVersion, horizon, coverage, targetStartMs, targetEndMs } = forecast;
  const known = await store
    .query<FeedbackTables>()
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
  await store.transact((tx) =>
    tx
      .query<FeedbackTables>()
      .insertInto('energy_kept_forecast')
      .values(row)
      .onConflict((conflict) => conflict.doNothing())
      .execute(),
  );
}

export async function findForecast(reader: Reader, forecastId: string): Promise<KeptForecast | undefined> {
  const row = await reader
    .query<FeedbackTables>()
    .selectFrom('energy_kept_forecast')
    .selectAll()
    .where('forecast_id', '=', forecastId)
    .executeTakeFirst();
  return row && forecastFromRow(row);
}

/** Ids of the forecasts kept of the window that holds an instant, by rising horizon. */
export async function forecastsOf(
  reader: Reader,
  stream: StreamName,
  atMs: number,
): Promise<readonly string[]> {
  const rows = await reader
    .query<FeedbackTables>()
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
  { vrmse, covered }: Outcome,
  nowMs: number,
): Promise<void> {
  await tx
    .query<FeedbackTables>()
    .updateTable('energy_kept_forecast')
    .set({ vrmse, covered, expires_at_ms: nowMs + KEPT_MS })
    .where('forecast_id', '=', forecastId)
    .execute();
}

/** Drops forecasts whose time is over. */
export async function pruneForecasts(store: Store, nowMs: number): Promise<void> {
  await store.transact((tx) =>
    tx
      .query<FeedbackTables>()
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
