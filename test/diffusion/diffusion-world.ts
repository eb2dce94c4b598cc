/** The diffusion context on a real store and real worker threads, with a bus that keeps events once they are committed. */
import { create, type DescMessage, type MessageInitShape, type MessageShape } from '@bufbuild/protobuf';
import type { ConsumeOptions } from '../../src/bus/bus.ts';
import { createDiffusion, type Diffusion, type Forecasts } from '../../src/diffusion/context.ts';
import { AppError, fieldError } from '../../src/errors.ts';
import {
  type PriorFitted,
  PriorFittedSchema,
} from '../../src/gen/homeostat/diffusion/v1/diffusion_events_pb.ts';
import { DiffusionService } from '../../src/gen/homeostat/diffusion/v1/diffusion_service_pb.ts';
import { EnergyMapUpdatedSchema } from '../../src/gen/homeostat/energy/v1/energy_events_pb.ts';
import { createIds } from '../../src/ids.ts';
import type { WorkerPool } from '../../src/numeric/worker-pool.ts';
import { createLogger, createMetrics, type Metrics } from '../../src/observability.ts';
import type { Call, Handlers } from '../../src/rpc/handler.ts';
import { compileRules } from '../../src/rpc/validate.ts';
import type { Store } from '../../src/store/store.ts';
import { callOf } from '../support/calls.ts';
import { createFakeClock, type FakeClock } from '../support/fake-clock.ts';

export type DiffusionHandlers = Handlers<typeof DiffusionService>;
type UnaryName = Exclude<keyof DiffusionHandlers, 'sampleStream' | 'optimize'>;
type Request<Name extends keyof DiffusionHandlers> = MessageInitShape<
  (typeof DiffusionService)['method'][Name]['input'] & DescMessage
>;
type Response<Name extends keyof DiffusionHandlers> = MessageShape<
  (typeof DiffusionService)['method'][Name]['output'] & DescMessage
>;

export interface DiffusionWorld {
  /** Calls a unary RPC as the edge does: the request checked against the contract first. */
  call<Name extends UnaryName>(
    name: Name,
    request: Request<Name>,
    call?: Partial<Call>,
  ): Promise<Response<Name>>;
  /** Calls any RPC in the same way, by a name and a request known when it runs; gives all messages of the answer. */
  ask(name: keyof DiffusionHandlers, request: object, signal?: AbortSignal): Promise<readonly unknown[]>;
  stream<Name extends 'sampleStream' | 'optimize'>(
    name: Name,
    request: Request<Name>,
    signal?: AbortSignal,
  ): AsyncIterableIterator<Response<Name>>;
  readonly announced: readonly PriorFitted[];
  readonly diffusion: Diffusion;
  readonly clock: FakeClock;
  readonly metrics: Metrics;
  /** Hands maps over as the bus does; only between start and stop. */
  takeMaps(maps: readonly MessageInitShape<typeof EnergyMapUpdatedSchema>[]): Promise<void>;
}

export function createDiffusionWorld(
  store: Store,
  workers: WorkerPool,
  forecasts?: Forecasts,
): DiffusionWorld {
  const clock = createFakeClock();
  const metrics = createMetrics();
  const announced: PriorFitted[] = [];
  let handle: ConsumeOptions<typeof EnergyMapUpdatedSchema>['handle'] | undefined;
  const diffusion = createDiffusion({
    config: { sendBytesMax: 64 * 1024 * 1024 },
    clock,
    store,
    workers,
    newId: createIds(clock),
    logger: createLogger('silent'),
    metrics,
    ...(forecasts && { forecasts }),
    bus: {
      async record(tx, _topic, _key, message) {
        const event = create(PriorFittedSchema, message as MessageInitShape<typeof PriorFittedSchema>);
        tx.afterCommit(() => announced.push(event));
      },
      async consume(options) {
        handle = options.handle as unknown as typeof handle;
        return {
          async stop() {
            handle = undefined;
          },
        };
      },
    },
  });
  const handlers = diffusion.services[0]!.handlers as unknown as DiffusionHandlers;
  const checked = <Name extends keyof DiffusionHandlers>(name: Name, request: Request<Name>) => {
    const { input } = DiffusionService.method[name];
    const message = create(input as DescMessage, request as never);
    const violations = compileRules(input)?.(message) ?? [];
    if (violations.length > 0) throw fieldError('homeostat.diffusion', violations);
    return message as never;
  };
  const world: DiffusionWorld = {
    announced,
    diffusion,
    clock,
    metrics,
    async ask(name, request, signal) {
      if (name !== 'sampleStream' && name !== 'optimize')
        return [await world.call(name, request as never, signal && { signal })];
      const messages: unknown[] = [];
      for await (const message of world.stream(name, request as never, signal)) messages.push(message);
      return messages;
    },
    takeMaps: (maps) =>
      handle!(
        maps.map((map, at) => ({
          id: String(at),
          message: create(EnergyMapUpdatedSchema, map),
          sequence: at + 1,
          publishedAtMs: 0,
          traceparent: undefined,
        })),
      ),
    async call(name, request, call) {
      const handler = handlers[name] as unknown as (request: never, call: Call) => Promise<never>;
      const answer = await handler(checked(name, request), callOf(call));
      return create(DiffusionService.method[name].output as DescMessage, answer) as never;
    },
    async *stream(name, request, signal = new AbortController().signal) {
      const handler = handlers[name] as unknown as (request: never, call: Call) => AsyncIterable<never>;
      for await (const answer of handler(checked(name, request), callOf({ signal })))
        yield create(DiffusionService.method[name].output as DescMessage, answer as never) as never;
    },
  };
  return world;
}

/** What something was refused with; rejects when it was not. */
export async function refusalOf(answer: Promise<unknown>): Promise<AppError> {
  try {
    await answer;
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
  throw new Error('was not refused');
}

/** The reason something was refused for. */
export async function reasonOf(answer: Promise<unknown>): Promise<string> {
  return (await refusalOf(answer)).reason;
}
