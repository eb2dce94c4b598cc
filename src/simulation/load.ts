/**
 * How busy a simulated fleet is: the load everything shares, moved by the demand offered to it and by the retries that
 * its own slowness causes. Loads are shares of capacity, 0..1; demand alike; time is in seconds.
 *
 *     dx = (offered + gain H(x) - x) / tau dt + noise dW,   H(x) = x^p / (x^p + half^p)
 *
 * Retries that keep an overload alive after its trigger are the metastable failures of Bronson et al. ("Metastable
 * failures in distributed systems", HotOS 2021); a sigmoid gain against a linear loss is the textbook system with two
 * stable states and a fold (May, "Thresholds and breakpoints in ecosystems with a multiplicity of stable states",
 * Nature 269, 1977). As demand rises the calm state and the tipping point between it and saturation draw together,
 * recovery from disturbances slows down to nothing, and at the fold the calm state is gone.
 */
import type { Random } from '../random.ts';

/** How fast load follows demand while there are no retries. */
const RESPONSE_SECONDS = 40;
/** Load at which half of what can be retried is, and how abruptly retries set in. */
const HALF_RETRIED_LOAD = 0.8;
const STEEPNESS = 5;
const HALF_RETRIED_POWER = HALF_RETRIED_LOAD ** STEEPNESS;
/** Standard deviation of the load without retries. */
const DEVIATION = 0.005;
/** Load of the calm state where it ends. */
const FOLD_LOAD = 0.64;
/** All that a saturated fleet can show, with room for noise below 1. */
export const SATURATED_LOAD = 0.985;

/** Retries as a share of all that could be retried. */
function retried(load: number): number {
  const power = load ** STEEPNESS;
  return power / (power + HALF_RETRIED_POWER);
}

/** How much faster `retried` grows than load does. */
function retriedSlope(load: number): number {
  const share = retried(load);
  return (STEEPNESS / load) * share * (1 - share);
}

/** Load that retries add where everything is retried; it puts the fold at its load, where gain times slope is 1. */
const RETRY_GAIN = 1 / retriedSlope(FOLD_LOAD);

/** Demand that holds a load in balance. Rises up to the fold, falls beyond it until saturation is near. */
export function balancingDemand(load: number): number {
  return load - RETRY_GAIN * retried(load);
}

/** The end of the calm state: its load there, and the greatest demand it can stand. */
export const FOLD = { load: FOLD_LOAD, offered: balancingDemand(FOLD_LOAD) } as const;

/** How fast a small disturbance of a load in balance dies out, 1/s; negative where it grows. 0 at the fold. */
export function recoveryRate(load: number): number {
  return (1 - RETRY_GAIN * retriedSlope(load)) / RESPONSE_SECONDS;
}

/** Load of the calm state under a demand of 0 to the fold's; the fold's beyond. By bisection, to double precision. */
export function calmLoad(offered: number): number {
  let low = 0;
  let high = FOLD_LOAD;
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (balancingDemand(middle) < offered) low = middle;
    else high = middle;
  }
  return high;
}

export interface SharedLoad {
  /** The load one second later, under what is offered during it. */
  next(offered: number): number;
}

/** Begins in the calm state. Euler-Maruyama with steps of a second, a 40th of the fastest response. */
export function createSharedLoad(random: Random, offered: number): SharedLoad {
  const kick = DEVIATION * Math.sqrt(2 / RESPONSE_SECONDS);
  let load = calmLoad(offered);
  return {
    next(demand) {
      const pull = demand + RETRY_GAIN * retried(load) - load;
      load += pull / RESPONSE_SECONDS + kick * random.normal();
      load = Math.min(SATURATED_LOAD, Math.max(0, load));
      return load;
    },
  };
}
