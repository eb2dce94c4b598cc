/**
 * Keeps event time moving when producers fall silent: after 30 s without a message while windows are open, and each
 * 10 s after that, publishes a batch without samples whose base_time is the stream's newest event time plus the
 * silence. So a window closes some time after its last producer died, and the decision lies in the broker's stream
 * like any other message: a replay takes it the same way.
 *
 * Its subject names a node no producer can have, and it says nothing that a message would have to be believed: the
 * fold measures the silence by the broker's own stamps and counts none of these messages.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { Bus } from '../bus/bus.ts';
import { telemetrySubject } from '../bus/topics.ts';
import type { Clock } from '../clock.ts';
import { describeError } from '../errors.ts';
import { TelemetryBatchSchema } from '../gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import type { Logger } from '../observability.ts';
import { SILENCE_SOURCE } from './fold/fold.ts';
import type { StreamFold } from './fold/stream.ts';

/** Node of the subject; not a name a node may have. */
export const SILENCE_NODE = '!';

/** How often streams are looked at, milliseconds. */
const LOOK_MS = 1_000;

/** Repeats come after this share of the first silence. */
const REPEAT_SHARE = 1 / 3;

export interface SilenceDeps {
  readonly bus: Pick<Bus, 'publishTelemetry' | 'connected'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Silence after which the first message is due, milliseconds. */
  readonly silenceMs: number;
  /** The streams; none while the fold has not caught up with the broker: they may be only unread. */
  readonly streams: () => Iterable<StreamFold>;
}

export interface SilenceWatch {
  /** Messages published so far. */
  readonly published: () => number;
  stop(): void;
}

export function startSilenceWatch(deps: SilenceDeps): SilenceWatch {
  const { bus, clock, logger, silenceMs } = deps;
  /** When each silent stream is due again, wall time. */
  const dueAtMs = new WeakMap<StreamFold, number>();
  let published = 0;

  const speak = (stream: StreamFold, silentMs: number) => {
    const { domain, cluster } = stream;
    const batch = create(TelemetryBatchSchema, {
      sourceId: SILENCE_SOURCE,
      domain,
      cluster,
      node: SILENCE_NODE,
      baseTime: timestampFromMs(stream.head.newestHeardMs + silentMs),
    });
    const subject = telemetrySubject(domain, cluster, SILENCE_NODE);
    bus.publishTelemetry(subject, toBinary(TelemetryBatchSchema, batch)).then(
      () => {
        published++;
      },
      (error) =>
        logger.warn({ domain, cluster, error: describeError(error) }, 'silence could not be published'),
    );
  };

  const timer = clock.every(LOOK_MS, () => {
    if (!bus.connected()) return;
    const nowMs = clock.nowMs();
    for (const stream of deps.streams()) {
      if (stream.windows.length === 0) continue;
      const silentMs = nowMs - stream.head.heardAtMs;
      if (silentMs < silenceMs || nowMs < (dueAtMs.get(stream) ?? 0)) continue;
      dueAtMs.set(stream, nowMs + silenceMs * REPEAT_SHARE);
      speak(stream, silentMs);
    }
  });
  return { published: () => published, stop: () => timer.cancel() };
}
