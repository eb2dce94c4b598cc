/**
 * DiffusionService put together. Everything that computes does so on the workers; when they hold as much as they may,
 * a call is refused to be tried again. Calls are counted with how they ended, streams when they end.
 */
import type { Clock } from '../clock.ts';
import { AppError } from '../errors.ts';
import { DiffusionService } from '../gen/homeostat/diffusion/v1/diffusion_service_pb.ts';
import type { Call } from '../rpc/handler.ts';
import { type ServiceBinding, serviceBinding } from '../rpc/handler.ts';
import { createInferenceHandlers, type InferenceDeps } from './inference/inference-service.ts';
import { createOptimizeHandlers, type OptimizeDeps } from './inference/optimize-service.ts';
import { createPriorHandlers, type PriorDeps } from './prior/prior-service.ts';
import { createSamplingHandlers, type SamplingDeps } from './sampling/sampling-service.ts';

/** Hears of every call as it ends. */
export interface CallWatch {
  /** `outcome` is OK, the reason of a refusal, CANCELED, or FAILED. */
  ended(method: string, outcome: string, seconds: number): void;
}

export interface DiffusionServiceDeps extends SamplingDeps, InferenceDeps, OptimizeDeps, PriorDeps {
  readonly clock: Pick<Clock, 'nowMs' | 'monotonicMs'>;
  readonly workers: SamplingDeps['workers'] &
    InferenceDeps['workers'] &
    OptimizeDeps['workers'] &
    PriorDeps['workers'];
  readonly priors: PriorDeps['priors'];
  readonly watch: CallWatch;
}

type AnyHandler = (request: never, call: Call) => Promise<unknown> | AsyncIterable<unknown>;

/** The service with its handlers. */
export function createDiffusionService(deps: DiffusionServiceDeps): ServiceBinding {
  const handlers = {
    ...createSamplingHandlers(deps),
    ...createInferenceHandlers(deps),
    ...createOptimizeHandlers(deps),
    ...createPriorHandlers(deps),
  };
  const watched = Object.entries(handlers).map(
    ([name, handler]) => [name, watchedHandler(deps, name, handler as AnyHandler)] as const,
  );
  return serviceBinding(DiffusionService, Object.fromEntries(watched) as unknown as typeof handlers);
}

function watchedHandler(
  { clock, watch }: DiffusionServiceDeps,
  name: string,
  handler: AnyHandler,
): AnyHandler {
  const { methodKind } = DiffusionService.method[name as keyof typeof DiffusionService.method];
  const begin = (call: Call) => {
    const begunMs = clock.monotonicMs();
    return (outcome: string) =>
      watch.ended(name, call.signal.aborted ? 'CANCELED' : outcome, (clock.monotonicMs() - begunMs) / 1000);
  };
  if (methodKind === 'unary')
    return async (request, call) => {
      const end = begin(call);
      try {
        const reply = await handler(request, call);
        end('OK');
        return reply;
      } catch (error) {
        end(outcomeOf(error));
        throw error;
      }
    };
  return async function* (request, call) {
    const end = begin(call);
    // A reader that leaves ends the stream without an error.
    let outcome = 'CANCELED';
    try {
      yield* handler(request, call) as AsyncIterable<unknown>;
      outcome = 'OK';
    } catch (error) {
      outcome = outcomeOf(error);
      throw error;
    } finally {
      end(outcome);
    }
  };
}

function outcomeOf(error: unknown): string {
  return error instanceof AppError ? error.reason : 'FAILED';
}
