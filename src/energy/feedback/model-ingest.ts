/**
 * Models between SQL and a batch of windows: what commands and reports changed is taken up before the batch, what the
 * batch made of the models is committed with it.
 */
import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { Bus } from '../../bus/bus.ts';
import { ModelCardSchema } from '../../gen/homeostat/energy/v1/feedback_service_pb.ts';
import type { Store, Tx } from '../../store/store.ts';
import type { RegimeTracker } from '../regime/regime-tracker.ts';
import type { StreamName } from '../stream/stream-name.ts';
import { readCalibration } from './label-store.ts';
import type { Roster } from './model.ts';
import { type Calibration, cardToProto, modelToProto } from './model-message.ts';
import {
  findModel,
  type ModelWrite,
  modelIdOf,
  type PackedModels,
  saveModels,
  stagesOf,
} from './model-store.ts';
import { recordStageChanged } from './publish.ts';
import type { StreamModels, TellableChange } from './stream-models.ts';

/** A change of stage, and the end of the window that decided it, ms since 1970. */
export interface DatedChange extends TellableChange {
  readonly atMs: number;
}

/** What a batch of windows made of a stream's models. */
export interface ModelsBatch {
  /** The models before it. */
  readonly before: Roster;
  readonly models: StreamModels;
  /** In the order they came about. */
  readonly changes: readonly DatedChange[];
  /** Snapshots taken with it; undefined where none was due. */
  readonly packed: PackedModels | undefined;
  readonly calibration: Calibration;
}

/**
 * Puts in force what commands did to a stream's models and reports to the temperature of its regimes, from the next
 * window on. Whether that was anything, which a snapshot then has to hold.
 */
export async function takeUpFeedback(
  store: Pick<Store, 'query'>,
  stream: StreamName,
  live: { readonly models: StreamModels; readonly regime: RegimeTracker },
): Promise<{ readonly isChanged: boolean; readonly calibration: Calibration }> {
  const { models, regime } = live;
  const calibration = await readCalibration(store, stream);
  const { active, rival } = models.roster;
  const stages = rival && (await stagesOf(store, stream, [active.modelVersion, rival.record.modelVersion]));
  const isSwitched = models.takeUp((modelVersion) => stages?.get(modelVersion));
  const isChanged = isSwitched || regime.temperature !== calibration.temperature;
  regime.temperature = calibration.temperature;
  return { isChanged, calibration };
}

/**
 * Commits the models as a batch left them and announces their stages. Throws Error where a command changed one of them
 * since the batch began: the batch is then folded again, with what the command did.
 */
export async function commitModels(
  bus: Pick<Bus, 'record'>,
  tx: Tx,
  stream: StreamName,
  batch: ModelsBatch,
): Promise<void> {
  // Nobody has heard of a model before its first window.
  if (batch.models.roster.windows === 0) return;
  await saveModels(tx, stream, writesOf(batch));
  for (const { record, to, from, reason, card, atMs } of batch.changes) {
    const found = await findModel(tx, modelIdOf(stream, record.modelVersion));
    const model = {
      ...found!.model,
      stage: to,
      version: record.version,
      card: create(ModelCardSchema, cardToProto(card)),
    };
    const told = { model: modelToProto(stream, model, batch.calibration), from, reason };
    await recordStageChanged(bus, tx, stream, { ...told, at: timestampFromMs(atMs) });
  }
}

/** One row for each model that was on duty before the batch, in between or after it. */
function writesOf({ before, models, changes, packed }: ModelsBatch): ModelWrite[] {
  const { roster } = models;
  const writes = new Map<number, Omit<ModelWrite, 'versionBefore'>>();
  const left = { isKept: false, digest: undefined };
  // A predecessor that is let go leaves without a change of stage, its card as it was.
  if (before.rival?.role === 'PREDECESSOR') {
    const { record } = before.rival;
    writes.set(record.modelVersion, { ...left, record, stage: 'RETIRED', card: undefined });
  }
  for (const { record, to, card } of changes)
    writes.set(record.modelVersion, { ...left, record, stage: to, card });
  const [own, other] = packed?.snapshots ?? [];
  for (const card of models.cards()) {
    const { record } = card;
    const isActive = record.modelVersion === roster.active.modelVersion;
    const stage = isActive ? 'ACTIVE' : roster.rival?.role === 'SHADOW' ? 'SHADOW' : 'RETIRED';
    const digest = (isActive ? own : other)?.digest;
    writes.set(record.modelVersion, { record, stage, card, isKept: true, digest });
  }
  const known = new Map<number, number>();
  if (before.windows > 0)
    for (const record of [before.active, ...(before.rival ? [before.rival.record] : [])])
      known.set(record.modelVersion, record.version);
  return [...writes].map(([modelVersion, write]) => ({ ...write, versionBefore: known.get(modelVersion) }));
}
