/**
 * The tables of models and reports, and the migration that makes them and that of kept forecasts. Event times and wall
 * times are milliseconds since 1970; arrays of numbers are little-endian.
 */
import type { ColumnTypes, Migration } from '../../store/store.ts';
import { createKeptForecasts } from '../forecast/kept-forecast-store.ts';
import type { ModelStage } from './model.ts';

export interface ModelRow {
  domain: string;
  cluster: string;
  model_version: number;
  model_id: string;
  stage: ModelStage;
  /** Of this record. */
  version: number;
  /** Number of the model it followed; 0 for the first. */
  predecessor: number;
  /** 1 while what it learned is kept. */
  kept: number;
  /** SHA-256 of its newest snapshot. */
  snapshot_digest: Uint8Array | null;
  /** ModelCard without what is known of regimes, protobuf. */
  card: Uint8Array;
}

interface ModelSnapshotRow {
  domain: string;
  cluster: string;
  /** SHA-256 of the payload in hexadecimal. */
  digest: string;
  /** ForecasterState, as snapshot-store.ts packs it. */
  payload: Uint8Array;
}

interface LogitsRow {
  domain: string;
  cluster: string;
  start_ms: number;
  /** Float64 each. */
  logits: Uint8Array;
  written_at_ms: number;
}

interface LabelRow {
  domain: string;
  cluster: string;
  start_ms: number;
  /** Its number among the stream's labels, from 1. */
  nth: number;
  /** Place of the regime among those that are told apart. */
  regime: number;
  logits: Uint8Array;
}

interface CalibrationRow {
  domain: string;
  cluster: string;
  temperature: number;
  label_count: number;
  brier: number | null;
  calibration_error: number | null;
}

export interface FeedbackTables {
  energy_model: ModelRow;
  energy_model_snapshot: ModelSnapshotRow;
  energy_logits: LogitsRow;
  energy_label: LabelRow;
  energy_calibration: CalibrationRow;
}

export const energyFeedbackMigration: Migration = {
  id: 'energy_005_feedback',
  async up(schema, types) {
    await createModels(schema, types);
    await createReports(schema, types);
    await createKeptForecasts(schema, types);
  },
};

type Schema = Parameters<Migration['up']>[0];

async function createModels(schema: Schema, types: ColumnTypes): Promise<void> {
  await schema
    .createTable('energy_model')
    .addColumn('domain', types.text, (column) => column.notNull())
    .addColumn('cluster', types.text, (column) => column.notNull())
    .addColumn('model_version', types.integer, (column) => column.notNull())
    .addColumn('model_id', types.text, (column) => column.notNull().unique())
    .addColumn('stage', types.text, (column) => column.notNull())
    .addColumn('version', types.integer, (column) => column.notNull())
    .addColumn('predecessor', types.integer, (column) => column.notNull())
    .addColumn('kept', types.integer, (column) => column.notNull())
    .addColumn('snapshot_digest', types.bytes)
    .addColumn('card', types.bytes, (column) => column.notNull())
    .addPrimaryKeyConstraint('energy_model_key', ['domain', 'cluster', 'model_version'])
    .execute();
  await schema
    .createTable('energy_model_snapshot')
    .addColumn('domain', types.text, (column) => column.notNull())
    .addColumn('cluster', types.text, (column) => column.notNull())
    .addColumn('digest', types.text, (column) => column.notNull())
    .addColumn('payload', types.bytes, (column) => column.notNull())
    .addPrimaryKeyConstraint('energy_model_snapshot_key', ['domain', 'cluster', 'digest'])
    .execute();
}

async function createReports(schema: Schema, types: ColumnTypes): Promise<void> {
  await schema
    .createTable('energy_logits')
    .addColumn('domain', types.text, (column) => column.notNull())
    .addColumn('cluster', types.text, (column) => column.notNull())
    .addColumn('start_ms', types.integer, (column) => column.notNull())
    .addColumn('logits', types.bytes, (column) => column.notNull())
    .addColumn('written_at_ms', types.integer, (column) => column.notNull())
    .addPrimaryKeyConstraint('energy_logits_key', ['domain', 'cluster', 'start_ms'])
    .execute();
  await schema.createIndex('energy_logits_written').on('energy_logits').column('written_at_ms').execute();
  await schema
    .createTable('energy_label')
    .addColumn('domain', types.text, (column) => column.notNull())
    .addColumn('cluster', types.text, (column) => column.notNull())
    .addColumn('start_ms', types.integer, (column) => column.notNull())
    .addColumn('nth', types.integer, (column) => column.notNull())
    .addColumn('regime', types.integer, (column) => column.notNull())
    .addColumn('logits', types.bytes, (column) => column.notNull())
    .addPrimaryKeyConstraint('energy_label_key', ['domain', 'cluster', 'start_ms'])
    .execute();
  await schema
    .createTable('energy_calibration')
    .addColumn('domain', types.text, (column) => column.notNull())
    .addColumn('cluster', types.text, (column) => column.notNull())
    .addColumn('temperature', types.real, (column) => column.notNull())
    .addColumn('label_count', types.integer, (column) => column.notNull())
    .addColumn('brier', types.real)
    .addColumn('calibration_error', types.real)
    .addPrimaryKeyConstraint('energy_calibration_key', ['domain', 'cluster'])
    .execute();
}
