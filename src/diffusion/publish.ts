/** What this context announces: priors as they are fitted, recorded in the transaction that stores them. */
import type { Bus } from '../bus/bus.ts';
import { topics } from '../bus/topics.ts';
import type { Prior } from '../gen/homeostat/diffusion/v1/diffusion_service_pb.ts';
import type { Tx } from '../store/store.ts';

/** Announces a prior; the same prior always makes the same event. */
export async function recordPriorFitted(
  bus: Pick<Bus, 'record'>,
  tx: Tx,
  prior: Prior,
  traceparent: string | undefined,
): Promise<void> {
  await bus.record(tx, topics.priorFitted, prior.priorId, { prior }, traceparent);
}
