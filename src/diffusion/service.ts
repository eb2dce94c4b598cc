/**
 * DiffusionService put together. Everything that computes does so on the workers; when they hold as much as they may,
 * a call is refused to be tried again.
 */
import { DiffusionService } from '../gen/homeostat/diffusion/v1/diffusion_service_pb.ts';
import { type ServiceBinding, serviceBinding } from '../rpc/handler.ts';
import { createInferenceHandlers, type InferenceDeps } from './inference/inference-service.ts';
import { createOptimizeHandlers, type OptimizeDeps } from './inference/optimize-service.ts';
import { createPriorHandlers, type PriorDeps } from './prior/prior-service.ts';
import { createSamplingHandlers, type SamplingDeps } from './sampling/sampling-service.ts';

export type DiffusionServiceDeps = SamplingDeps & InferenceDeps & OptimizeDeps & PriorDeps;

/** The service with its handlers. */
export function createDiffusionService(deps: DiffusionServiceDeps): ServiceBinding {
  return serviceBinding(DiffusionService, {
    ...createSamplingHandlers(deps),
    ...createInferenceHandlers(deps),
    ...createOptimizeHandlers(deps),
    ...createPriorHandlers(deps),
  });
}
