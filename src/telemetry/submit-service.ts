/**
 * Takes batches in over gRPC: checks their shape, hands them to the broker, and answers once that acknowledged them.
 * Everything else is decided when the fold comes to them; DUPLICATE only says what was known at the last commit.
 */
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Bus } from '../bus/bus.ts';
import { telemetrySubject } from '../bus/topics.ts';
import { encodeMessage } from '../encode.ts';
import type { FieldViolation } from '../errors.ts';
import {
  type BatchAckSchema,
  BatchOutcome,
  DurabilityClass,
  type IngestRequest,
  type IngestResponseSchema,
  RejectReason,
  type TelemetryBatch,
  TelemetryBatchSchema,
} from '../gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { compileRules } from '../rpc/validate.ts';
import { brokerRefusal, fieldsInvalid, telemetryError } from './errors.ts';
import { SILENCE_SOURCE, type TelemetryFold } from './fold/fold.ts';

/** Batches of one Ingest call that may be unanswered. */
export const CREDIT = 64;

const VIOLATIONS_SHOWN = 16;
const SECONDS_MIN = -62_135_596_800n; // 0001-01-01
const SECONDS_MAX = 253_402_300_799n; // 9999-12-31

export type Ack = MessageInitShape<typeof BatchAckSchema>;

export interface SubmitDeps {
  readonly bus: Bus;
  readonly fold: () => TelemetryFold | undefined;
}

export interface Submit {
  /** Hands in one batch of good shape. Throws BROKER_DOWN or FIELD_INVALID. */
  one(batch: TelemetryBatch): Promise<Ack>;
  /** Hands in batches as they come; answers in their order. Throws CREDIT_EXCEEDED or BROKER_DOWN. */
  many(
    requests: AsyncIterable<IngestRequest>,
    signal: AbortSignal,
  ): AsyncIterable<MessageInitShape<typeof IngestResponseSchema>>;
}

const checkFields = compileRules(TelemetryBatchSchema)!;

export function createSubmit({ bus, fold }: SubmitDeps): Submit {
  const durabilityClass = DurabilityClass[bus.durability];

  const hand = async (batch: TelemetryBatch): Promise<Ack> => {
    const { domain, cluster, node, sourceId, epoch, sequence } = batch;
    const run = fold()?.streams.get(`${domain}.${cluster}`)?.sources.find(sourceId, epoch);
    const isKnown = run?.knewAtCommit(sequence) ?? false;
    const subject = telemetrySubject(domain, cluster, node);
    await bus
      .publishTelemetry(subject, encodeMessage(TelemetryBatchSchema, batch))
      .catch((error: unknown) => {
        throw brokerRefusal(error);
      });
    const outcome = isKnown ? BatchOutcome.DUPLICATE : BatchOutcome.STORED;
    return { sourceId, epoch, sequence, outcome, durabilityClass, credit: CREDIT };
  };
  const refuse = ({ sourceId, epoch, sequence }: TelemetryBatch, broken: readonly FieldViolation[]): Ack => ({
    sourceId,
    epoch,
    sequence,
    outcome: BatchOutcome.REJECTED,
    reason: RejectReason.MALFORMED,
    durabilityClass,
    credit: CREDIT,
    violations: broken.slice(0, VIOLATIONS_SHOWN).map(({ field, description }) => `${field}: ${description}`),
  });

  return {
    async one(batch) {
      const broken = shapeViolations(batch);
      if (broken.length > 0)
        throw fieldsInvalid(broken.map((one) => ({ ...one, field: `batch.${one.field}` })));
      return hand(batch);
    },
    many(requests, signal) {
      return answerInOrder(requests, signal, ({ batch }) => {
        if (batch === undefined)
          return Promise.resolve({ ...NO_BATCH, durabilityClass, violations: ['batch: is required'] });
        const broken = [...checkFields(batch), ...shapeViolations(batch)];
        return broken.length > 0 ? Promise.resolve(refuse(batch, broken)) : hand(batch);
      });
    },
  };
}

const NO_BATCH: Ack = { outcome: BatchOutcome.REJECTED, reason: RejectReason.MALFORMED, credit: CREDIT };

/** Rules across fields, and those of names that are the server's own. */
export function shapeViolations(batch: TelemetryBatch): readonly FieldViolation[] {
  const broken: FieldViolation[] = [];
  const say = (field: string, description: string) => broken.push({ field, description });
  const { sourceId, baseTime, metrics, metricIndex, offsetMs, values } = batch;
  if (sourceId === SILENCE_SOURCE) say('source_id', "is the server's own");
  if (baseTime && (baseTime.seconds < SECONDS_MIN || baseTime.seconds > SECONDS_MAX))
    say('base_time', 'must lie in the years 1 to 9999');
  else if (baseTime && (baseTime.nanos < 0 || baseTime.nanos > 999_999_999))
    say('base_time.nanos', 'must be 0 to 999999999');
  if (metricIndex.length !== values.length)
    say('metric_index', `must be of the ${values.length} items of values`);
  if (offsetMs.length !== values.length) say('offset_ms', `must be of the ${values.length} items of values`);
  const beyond = metricIndex.findIndex((index) => index >= metrics.length);
  if (beyond >= 0) say(`metric_index[${beyond}]`, `must be under ${metrics.length}, the number of metrics`);
  return broken;
}

/** Answers requests in their order, up to CREDIT of them under way at once. */
async function* answerInOrder(
  requests: AsyncIterable<IngestRequest>,
  signal: AbortSignal,
  answer: (request: IngestRequest) => Promise<Ack>,
): AsyncIterable<{ ack: Ack }> {
  const queue: Promise<Ack>[] = [];
  let wake = () => {};
  let finished = false;
  let failure: unknown;
  const read = async () => {
    try {
      for await (const request of requests) {
        if (queue.length >= CREDIT) throw telemetryError('CREDIT_EXCEEDED', { credit: CREDIT });
        const ack = answer(request);
        ack.catch(() => undefined); // Reported when its turn comes.
        queue.push(ack);
        wake();
      }
    } catch (error) {
      failure = error;
    } finally {
      finished = true;
      wake();
    }
  };
  void read();
  signal.addEventListener('abort', () => wake(), { once: true });
  while (!signal.aborted) {
    const next = queue[0];
    if (next === undefined || failure !== undefined) {
      if (failure !== undefined) throw failure;
      if (finished) return;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
      continue;
    }
    const ack = await next;
    queue.shift();
    yield { ack };
  }
}
