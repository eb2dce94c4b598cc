/** Ingest, EnergyService and FeedbackService on one store, with every recorded event. */
import { create, type DescMessage, type MessageInitShape, type MessageShape } from '@bufbuild/protobuf';
import { systemClock } from '../../../../src/clock.ts';
import { createFeedbackService } from '../../../../src/energy/feedback/feedback-service.ts';
import { createForecastHandlers } from '../../../../src/energy/forecast/forecast-service.ts';
import { createMapIngest, type MapIngest } from '../../../../src/energy/ingest.ts';
import { createMapStore } from '../../../../src/energy/map-store.ts';
import { requireStream } from '../../../../src/energy/service.ts';
import { createStreamStore } from '../../../../src/energy/store.ts';
import { createMapFeed } from '../../../../src/energy/watch.ts';
import { AppError } from '../../../../src/errors.ts';
import {
  EnergyService,
  type PredictRequestSchema,
  type PredictResponse,
} from '../../../../src/gen/homeostat/energy/v1/energy_service_pb.ts';
import { FeedbackService } from '../../../../src/gen/homeostat/energy/v1/feedback_service_pb.ts';
import type { WindowClosed } from '../../../../src/gen/homeostat/telemetry/v1/telemetry_events_pb.ts';
import type { Call, Handlers } from '../../../../src/rpc/handler.ts';
import type { Store } from '../../../../src/store/store.ts';
import { callOf } from '../../../support/calls.ts';
import { createFakeClock, type FakeClock } from '../../../support/fake-clock.ts';
import { CONFIG } from '../../support/energy-world.ts';
import { closedWindow } from '../../support/windows.ts';
import { cellAt, type Pattern } from './shifting.ts';

type Method = keyof Handlers<typeof FeedbackService>;
type Request<Name extends Method> = MessageInitShape<
  (typeof FeedbackService)['method'][Name]['input'] & DescMessage
>;
type Response<Name extends Method> = MessageShape<
  (typeof FeedbackService)['method'][Name]['output'] & DescMessage
>;

export interface FeedbackWorld {
  readonly store: Store;
  readonly clock: FakeClock;
  readonly ingest: MapIngest;
  /** Recorded events, `model_stage_changed lab.c1.1.1`, oldest first, with their messages. */
  readonly events: { readonly name: string; readonly key: string; readonly message: object }[];
  /** What was audited, `model/<id>`. */
  readonly audited: string[];
  call<Name extends Method>(name: Name, request: Request<Name>): Promise<Response<Name>>;
  predict(request: MessageInitShape<typeof PredictRequestSchema>): Promise<PredictResponse>;
}

/** `beforeCommit` runs before each batch of windows is committed, after it was folded. */
export function openFeedback(
  store: Store,
  snapshotWindows = 60,
  beforeCommit: () => Promise<void> = async () => undefined,
): FeedbackWorld {
  const clock = createFakeClock();
  const sliced = { ...clock, monotonicMs: systemClock.monotonicMs };
  const events: FeedbackWorld['events'] = [];
  const audited: string[] = [];
  const bus: Parameters<typeof createMapIngest>[0]['bus'] = {
    record: async (tx, topic, key, message) => {
      tx.afterCommit(() => events.push({ name: topic.name, key, message }));
    },
  };
  const streams = createStreamStore(store);
  const maps = createMapStore(store);
  const shared = { clock: sliced, store, bus, sliceMs: 4 };
  const ingest = createMapIngest({
    ...shared,
    store: {
      ...store,
      async transact(work) {
        await beforeCommit();
        return store.transact(work);
      },
    },
    streams,
    maps,
    feed: createMapFeed(4),
    defaults: CONFIG,
    snapshotWindows,
  });
  const known = (stream: Parameters<typeof requireStream>[1]) => requireStream(streams, stream);
  const feedback = createFeedbackService({ ...shared, maps, requireStream: known, unavailable: () => [] });
  const forecasts = createForecastHandlers({
    ...shared,
    sendBytesMax: CONFIG.sendBytesMax,
    withStream: ingest.withStream,
    requireStream: known,
  });
  const call: Call = callOf({ audit: async (_tx, resource) => void audited.push(resource) });
  return {
    store,
    clock,
    ingest,
    events,
    audited,
    async call(name, request) {
      const { input, output } = FeedbackService.method[name] as { input: DescMessage; output: DescMessage };
      const handlers = feedback.handlers as unknown as Record<
        string,
        (request: unknown, call: Call) => unknown
      >;
      const answer = await handlers[name]!(create(input, request as never), call);
      return create(output, answer as never) as never;
    },
    async predict(request) {
      const { input, output } = EnergyService.method.predict;
      return create(output, await forecasts.predict(create(input, request), call));
    },
  };
}

/** A window whose map is of a pattern: one gauge of energy a node, in joules. */
export function patternWindow(pattern: Pattern, side: number, at: number): WindowClosed {
  const cells = Array.from({ length: side * side }, (_, i) => [Math.floor(i / side), i % side] as const);
  const name = ([row, col]: readonly [number, number]) => `n${row}${col}`;
  return closedWindow({
    at,
    nodes: Object.fromEntries(
      cells.map((cell) => [name(cell), { energy: { mean: cellAt(pattern, at, ...cell) } }]),
    ),
    cells: Object.fromEntries(cells.map((cell) => [name(cell), cell])),
    metrics: { energy: { unit: 'W' } },
  });
}

/** The reason a call is refused for, and the fields it blames. */
export async function refusal(answer: Promise<unknown>): Promise<string> {
  const error = await answer.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof AppError)) throw error ?? new Error('it was not refused');
  return [error.reason, ...error.violations.map(({ field }) => field)].join(' ');
}
