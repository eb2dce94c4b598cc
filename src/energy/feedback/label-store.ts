/**
 * Regimes reported of a stream's windows, in SQL: the logits of windows that were judged, the newest 500 labels with the
 * logits of theirs, and what follows from them, one row per stream. A label is the last one reported of its window.
 */
import type { Queries, Store, Tx } from '../../store/store.ts';
import type { StreamName } from '../stream/stream-name.ts';
import { fitTemperature, LABELS_MAX, type Label, REFIT_LABELS, standingOf } from './calibration.ts';
import type { FeedbackTables } from './feedback-tables-store.ts';
import type { Calibration } from './model-message.ts';
import type { Reader } from './model-store.ts';

const UNCALIBRATED: Calibration = { temperature: 1, labels: 0, brier: undefined, error: undefined };

/** The logits of a window's regime, before any temperature. */
export interface WindowLogits {
  readonly startMs: number;
  /** None while the stream warms up; such windows are not kept. */
  readonly logits: readonly number[];
}

/** Keeps the logits of windows, each once. */
export async function saveLogits(
  tx: Tx,
  stream: StreamName,
  windows: readonly WindowLogits[],
  nowMs: number,
): Promise<void> {
  const rows = windows
    .filter(({ logits }) => logits.length > 0)
    .map(({ startMs, logits }) => ({
      ...stream,
      start_ms: startMs,
      logits: bytesOf(logits),
      written_at_ms: nowMs,
    }));
  if (rows.length === 0) return;
  await tx
    .query<FeedbackTables>()
    .insertInto('energy_logits')
    .values(rows)
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

/** Drops logits written before an instant; labels keep theirs. */
export async function pruneLogits(store: Store, beforeMs: number): Promise<void> {
  await store.transact((tx) =>
    tx.query<FeedbackTables>().deleteFrom('energy_logits').where('written_at_ms', '<', beforeMs).execute(),
  );
}

export async function readCalibration(reader: Reader, stream: StreamName): Promise<Calibration> {
  const row = await reader
    .query<FeedbackTables>()
    .selectFrom('energy_calibration')
    .selectAll()
    .where((column) => column.and({ ...stream }))
    .executeTakeFirst();
  if (row === undefined) return UNCALIBRATED;
  return {
    temperature: row.temperature,
    labels: row.label_count,
    brier: row.brier ?? undefined,
    error: row.calibration_error ?? undefined,
  };
}

/**
 * Takes a label in; each 50 labels the temperature is fitted anew. Changes nothing for a window that was not judged, as
 * while the stream warmed up. Counts a window once, however often it is reported. O(labels kept).
 */
export async function addLabel(
  tx: Tx,
  stream: StreamName,
  startMs: number,
  regime: number,
): Promise<Calibration> {
  const query = tx.query<FeedbackTables>();
  const before = await readCalibration(tx, stream);
  const window = { ...stream, start_ms: startMs };
  const known = await query
    .updateTable('energy_label')
    .set({ regime })
    .where((column) => column.and(window))
    .executeTakeFirst();
  const isNew = known.numUpdatedRows === 0n;
  const labels = before.labels + (isNew ? 1 : 0);
  if (isNew) {
    const judged = await query
      .selectFrom('energy_logits')
      .select('logits')
      .where((column) => column.and(window))
      .executeTakeFirst();
    if (judged === undefined) return before;
    await query
      .insertInto('energy_label')
      .values({ ...window, nth: labels, regime, logits: judged.logits })
      .execute();
    await query
      .deleteFrom('energy_label')
      .where((column) => column.and({ ...stream }))
      .where('nth', '<=', labels - LABELS_MAX)
      .execute();
  }
  const kept = await readLabels(query, stream);
  const temperature = isNew && labels % REFIT_LABELS === 0 ? fitTemperature(kept) : before.temperature;
  const { brier, error } = standingOf(kept, temperature) ?? {};
  await saveCalibration(query, stream, { temperature, labels, brier, error });
  return { temperature, labels, brier, error };
}

async function readLabels(query: Queries<FeedbackTables>, stream: StreamName): Promise<Label[]> {
  const rows = await query
    .selectFrom('energy_label')
    .select(['regime', 'logits'])
    .where((column) => column.and({ ...stream }))
    .orderBy('nth')
    .execute();
  return rows.map(({ regime, logits }) => ({ regime, logits: [...numbersOf(logits)] }));
}

async function saveCalibration(
  query: Queries<FeedbackTables>,
  stream: StreamName,
  { temperature, labels, brier, error }: Calibration,
): Promise<void> {
  const row = {
    temperature,
    label_count: labels,
    brier: brier ?? null,
    calibration_error: error ?? null,
  };
  await query
    .insertInto('energy_calibration')
    .values({ ...stream, ...row })
    .onConflict((conflict) => conflict.columns(['domain', 'cluster']).doUpdateSet(row))
    .execute();
}

function bytesOf(numbers: readonly number[]): Uint8Array {
  return new Uint8Array(Float64Array.from(numbers).buffer);
}

function numbersOf(bytes: Uint8Array): Float64Array {
  // A copy: the bytes of a row need not be aligned.
  return new Float64Array(new Uint8Array(bytes).buffer);
}
