/**
 * The models of streams, in SQL: their records with what is known of them, and what they learned. A snapshot is named by
 * its SHA-256 and never changed; it is kept while the model is on duty, and checked when it is read. A record is changed
 * only in the version it was read in, so that a command and a batch of windows never overwrite each other's stages. Of
 * models off duty the newest 256 or so stay on record.
 */
import { createHash } from 'node:crypto';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { ModelCardSchema } from '../../gen/homeostat/energy/v1/feedback_service_pb.ts';
import { derivedId } from '../../ids.ts';
import type { Steps } from '../../numeric/slices.ts';
import type { Tx } from '../../store/store.ts';
import type { ForecasterState } from '../forecast/forecaster.ts';
import { type StreamName, streamKey } from '../stream/stream-name.ts';
import type { DriftState } from './drift.ts';
import type { FeedbackTables, ModelRow } from './feedback-tables-store.ts';
import type { ModelRecord, ModelStage, Roster } from './model.ts';
import { cardToProto, type StoredModel } from './model-message.ts';
import { type PackedSnapshot, packSnapshot, unpackSnapshot } from './snapshot-store.ts';
import type { ModelCard, StreamModelsState } from './stream-models.ts';

/** How far back a stream's models stay on record. */
const RECORDS_MAX = 256;

/** A model as a batch of windows leaves it. */
export interface ModelWrite {
  readonly record: ModelRecord;
  readonly stage: ModelStage;
  /** Undefined where it stays as it is. */
  readonly card: ModelCard | undefined;
  /** Whether what it learned goes on being kept. */
  readonly isKept: boolean;
  /** Version of its record before the batch; undefined for a new model. */
  readonly versionBefore: number | undefined;
  /** SHA-256 of its snapshot; undefined where none was taken. */
  readonly digest: Uint8Array | undefined;
}

/** What models learned, packed: the part that points at snapshots, and the snapshots. */
export interface PackedModels {
  readonly index: ModelsIndex;
  readonly snapshots: readonly PackedSnapshot[];
}

/** Digests are in hexadecimal. */
export interface ModelsIndex {
  readonly roster: Roster;
  readonly drift: DriftState | undefined;
  readonly active: string;
  readonly rival: string | undefined;
}

/** Where models are read: the store, or a transaction. */
export type Reader = Pick<Tx, 'query'>;

/** Names a model of a stream. */
export function modelIdOf({ domain, cluster }: StreamName, modelVersion: number): string {
  return derivedId('energy-model', domain, cluster, String(modelVersion));
}

/** O(state); the states are borrowed until they are packed. */
export function* packModels({ roster, drift, active, rival }: StreamModelsState): Steps<PackedModels> {
  const snapshots: PackedSnapshot[] = [];
  for (const state of [active, ...(rival ? [rival] : [])]) snapshots.push(yield* packSnapshot(state));
  const [own, other] = snapshots.map(({ digest }) => hexOf(digest));
  return { index: { roster, drift, active: own!, rival: other }, snapshots };
}

/** Replaces the snapshots of a stream. */
export async function writeSnapshots(tx: Tx, stream: StreamName, packed: PackedModels): Promise<void> {
  const query = tx.query<FeedbackTables>();
  const rows = packed.snapshots.map(({ digest, payload }) => ({ ...stream, digest: hexOf(digest), payload }));
  const digests = rows.map(({ digest }) => digest);
  await query
    .deleteFrom('energy_model_snapshot')
    .where((column) => column.and({ ...stream }))
    .where('digest', 'not in', digests)
    .execute();
  await query
    .insertInto('energy_model_snapshot')
    .values(rows)
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

/** What an index points at. Throws Error where a snapshot is missing or damaged. */
export async function readSnapshots(
  reader: Reader,
  stream: StreamName,
  index: ModelsIndex,
): Promise<StreamModelsState> {
  const read = async (digest: string): Promise<ForecasterState> => {
    const row = await reader
      .query<FeedbackTables>()
      .selectFrom('energy_model_snapshot')
      .select('payload')
      .where((column) => column.and({ ...stream, digest }))
      .executeTakeFirst();
    const isWhole = row && createHash('sha256').update(row.payload).digest('hex') === digest;
    if (!isWhole) throw new Error(`snapshot ${digest} of stream ${streamKey(stream)} is damaged`);
    return unpackSnapshot(row.payload) as ForecasterState;
  };
  return {
    roster: index.roster,
    drift: index.drift,
    active: await read(index.active),
    rival: index.rival === undefined ? undefined : await read(index.rival),
  };
}

/** Writes models as a batch left them. Throws Error where a command changed one of them meanwhile. */
export async function saveModels(tx: Tx, stream: StreamName, writes: readonly ModelWrite[]): Promise<void> {
  const query = tx.query<FeedbackTables>();
  for (const { record, stage, card, isKept, versionBefore, digest } of writes) {
    const { modelVersion, version, predecessor } = record;
    const row = {
      stage,
      version,
      kept: isKept ? 1 : 0,
      ...(card && { card: toBinary(ModelCardSchema, create(ModelCardSchema, cardToProto(card))) }),
      ...(digest && { snapshot_digest: digest }),
    };
    if (versionBefore === undefined) {
      const fresh = { predecessor, snapshot_digest: null, card: new Uint8Array(0), ...row };
      await query
        .insertInto('energy_model')
        .values({
          ...stream,
          model_version: modelVersion,
          model_id: modelIdOf(stream, modelVersion),
          ...fresh,
        })
        .onConflict((conflict) =>
          conflict.columns(['domain', 'cluster', 'model_version']).doUpdateSet({ predecessor, ...row }),
        )
        .execute();
      await query
        .deleteFrom('energy_model')
        .where((column) => column.and({ ...stream, kept: 0 }))
        .where('model_version', '<=', modelVersion - RECORDS_MAX)
        .execute();
      continue;
    }
    const { numUpdatedRows } = await query
      .updateTable('energy_model')
      .set(row)
      .where((column) => column.and({ ...stream, model_version: modelVersion, version: versionBefore }))
      .executeTakeFirst();
    if (numUpdatedRows === 0n)
      throw new Error(`model ${modelVersion} of stream ${streamKey(stream)} was changed meanwhile`);
  }
}

/** Puts a model at another stage by a command; its record's version rises. The caller has read it in this transaction. */
export async function changeStage(
  tx: Tx,
  model: StoredModel,
  stage: ModelStage,
  isKept: boolean,
): Promise<StoredModel> {
  const version = model.version + 1;
  await tx
    .query<FeedbackTables>()
    .updateTable('energy_model')
    .set({ stage, version, kept: isKept ? 1 : 0 })
    .where('model_id', '=', model.modelId)
    .execute();
  return { ...model, stage, version, isKept };
}

/** A model by its id, and whose it is. */
export async function findModel(
  reader: Reader,
  modelId: string,
): Promise<{ readonly stream: StreamName; readonly model: StoredModel } | undefined> {
  const row = await reader
    .query<FeedbackTables>()
    .selectFrom('energy_model')
    .selectAll()
    .where('model_id', '=', modelId)
    .executeTakeFirst();
  return row && { stream: { domain: row.domain, cluster: row.cluster }, model: modelFromRow(row) };
}

/** The models of a stream whose learning is kept: the ACTIVE one and its rival. */
export async function modelsOnDuty(reader: Reader, stream: StreamName): Promise<readonly StoredModel[]> {
  const rows = await reader
    .query<FeedbackTables>()
    .selectFrom('energy_model')
    .selectAll()
    .where((column) => column.and({ ...stream, kept: 1 }))
    .orderBy('model_version')
    .execute();
  return rows.map(modelFromRow);
}

/** Stages by number, of those models of a stream that are asked for. */
export async function stagesOf(
  reader: Reader,
  stream: StreamName,
  modelVersions: readonly number[],
): Promise<ReadonlyMap<number, ModelStage>> {
  const rows = await reader
    .query<FeedbackTables>()
    .selectFrom('energy_model')
    .select(['model_version', 'stage'])
    .where((column) => column.and({ ...stream }))
    .where('model_version', 'in', [...modelVersions])
    .execute();
  return new Map(rows.map((row) => [row.model_version, row.stage]));
}

/** Models of a stream below a number, newest first. */
export async function listModels(
  reader: Reader,
  stream: StreamName,
  belowVersion: number,
  limit: number,
): Promise<readonly StoredModel[]> {
  const rows = await reader
    .query<FeedbackTables>()
    .selectFrom('energy_model')
    .selectAll()
    .where((column) => column.and({ ...stream }))
    .where('model_version', '<', belowVersion)
    .orderBy('model_version', 'desc')
    .limit(limit)
    .execute();
  return rows.map(modelFromRow);
}

function modelFromRow(row: ModelRow): StoredModel {
  const { domain, cluster, predecessor } = row;
  return {
    modelId: row.model_id,
    modelVersion: row.model_version,
    stage: row.stage,
    version: row.version,
    predecessorId: predecessor === 0 ? '' : modelIdOf({ domain, cluster }, predecessor),
    snapshotDigest: row.snapshot_digest ?? new Uint8Array(0),
    card: fromBinary(ModelCardSchema, row.card),
    isKept: row.kept === 1,
  };
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
