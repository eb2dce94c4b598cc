/**
 * The utilization a cell must stay under: what its promise about waiting allows, less the share of one node, so that
 * the promise survives the loss of any one node.
 */
import { utilizationForPromise, type WaitPromise } from './queue.ts';

/** What is known of a cell's capacity. */
export interface CeilingBasis {
  /** The promise to keep; without one, `utilizationWithoutPromise` stands in. */
  readonly promise?: WaitPromise;
  /** In (0, 1]. */
  readonly utilizationWithoutPromise: number;
  /** Equal nodes that share the load; unknown: nothing is set aside for losing one. */
  readonly nodes?: number;
}

/** The ceiling, in [0, 1]: rho (N - 1) / N, or rho while N is unknown. */
export function utilizationCeiling(basis: CeilingBasis): number {
  const kept = basis.promise ? utilizationForPromise(basis.promise) : basis.utilizationWithoutPromise;
  return basis.nodes === undefined ? kept : (kept * (basis.nodes - 1)) / basis.nodes;
}
