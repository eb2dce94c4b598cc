/**
 * What is asked of a simulated fleet, as a function of event time. Times are milliseconds of event time; demand is a
 * share of the fleet's capacity, before retries.
 */
import { balancingDemand, FOLD } from './load.ts';

/** Demand at an instant. */
export type Demand = (atMs: number) => number;

/** Load of an ordinary day. */
const CALM_LOAD = 0.34;
const CALM_OFFERED = balancingDemand(CALM_LOAD);

/** Demand of a fleet that never tips. */
export const calmDemand: Demand = () => CALM_OFFERED;

/** Event times a crisis is planned by. */
export interface CrisisSpan {
  /** Of the first sample. */
  readonly startMs: number;
  /** The fold is passed, and the fleet saturates, around the middle of these. */
  readonly fromMs: number;
  readonly toMs: number;
}

/** Nearly all the 512 minutes that early warnings remember. */
const APPROACH_MS = 8.5 * 3_600_000;
/** How far from calm to the fold the load is led: recovery there is seven times slower than in calm. */
const EDGE = 0.86;
/** Share of the approach after which it is there and stays. */
const THERE_AFTER = 0.8;
/** Demand beyond the fold at the end of the last rise. */
const BEYOND_FOLD = 0.1;
/** From the beginning of the last rise to saturation, beside half of the rise itself. */
const RUNAWAY_MS = 180_000;
const LAST_RISE_MS_MAX = 900_000;
const STAND_MS_MIN = 150_000;
const STAND_MS_MAX = 1_800_000;

/**
 * The demand of one crisis. Over hours it leads the load slowly to where the calm state is about to end, and leaves it
 * there for more than an hour; the load looks healthy all the way. A last rise passes the fold, and the load runs away by its own
 * retries: were it as slow, noise would tip the fleet at some hour or other, not in the middle of the span. After a
 * tenth of the span demand returns to calm; what it was an hour before would not do, as the overload then holds itself.
 */
export function crisisDemand({ startMs, fromMs, toMs }: CrisisSpan): Demand {
  const tenthMs = (toMs - fromMs) / 10;
  const middleMs = (fromMs + toMs) / 2;
  const lastRiseMs = Math.min(tenthMs, LAST_RISE_MS_MAX);
  const edgeMs = Math.max(startMs, middleMs - lastRiseMs / 2 - RUNAWAY_MS);
  const riseMs = Math.max(startMs, edgeMs - APPROACH_MS);
  const reliefMs = middleMs + Math.min(STAND_MS_MAX, Math.max(STAND_MS_MIN, tenthMs));
  const thereMs = riseMs + THERE_AFTER * (edgeMs - riseMs);
  const edgeLoad = CALM_LOAD + EDGE * (FOLD.load - CALM_LOAD);
  const edgeOffered = balancingDemand(edgeLoad);
  const peakOffered = FOLD.offered + BEYOND_FOLD;

  return (atMs) => {
    if (atMs < edgeMs)
      return balancingDemand(CALM_LOAD + (edgeLoad - CALM_LOAD) * smoothStep(share(riseMs, thereMs, atMs)));
    if (atMs < reliefMs)
      return edgeOffered + (peakOffered - edgeOffered) * share(edgeMs, edgeMs + lastRiseMs, atMs);
    return peakOffered + (CALM_OFFERED - peakOffered) * share(reliefMs, reliefMs + lastRiseMs / 4, atMs);
  };
}

/** How much of a span is over at an instant, 0..1. */
function share(fromMs: number, toMs: number, atMs: number): number {
  return Math.min(1, Math.max(0, (atMs - fromMs) / (toMs - fromMs)));
}

/** Cubic from 0 to 1 with flat ends, for x in 0..1. */
function smoothStep(x: number): number {
  return x * x * (3 - 2 * x);
}
