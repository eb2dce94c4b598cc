/** What feedback announces: a model at another stage, recorded in the caller's transaction. */
import type { Timestamp } from '@bufbuild/protobuf/wkt';
import type { Bus } from '../../bus/bus.ts';
import { topics } from '../../bus/topics.ts';
import type { Model } from '../../gen/homeostat/energy/v1/feedback_service_pb.ts';
import type { Tx } from '../../store/store.ts';
import { type StreamName, streamKey } from '../stream/stream-name.ts';
import type { ModelStage, StageReason } from './model.ts';
import { reasonToProto, stageToProto } from './model-message.ts';

/** Announces a stage; the same model and version of its record always make the same event. */
export async function recordStageChanged(
  bus: Pick<Bus, 'record'>,
  tx: Tx,
  stream: StreamName,
  change: {
    /** As it is now. */
    readonly model: Model;
    readonly from: ModelStage | undefined;
    readonly reason: StageReason;
    /** By the stream's time. */
    readonly at: Timestamp | undefined;
  },
): Promise<void> {
  const { model, from, reason, at } = change;
  const key = `${streamKey(stream)}.${model.modelVersion}.${model.version}`;
  await bus.record(tx, topics.modelStageChanged, key, {
    model,
    from: stageToProto(from),
    reason: reasonToProto(reason),
    ...(at && { at }),
  });
}
