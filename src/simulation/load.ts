/**
 * How busy a simulated fleet is, as a function of event time: a daily swing, and one crisis that drifts in, saturates
 * the fleet, and recedes. Pure functions of time; the noise is the fleet's. Times are milliseconds of event time,
 * loads are shares of capacity, 0..1.
 */

const DAY_MS = 86_400_000;
/** Mean load of the quiet fleet, and how far the time of day moves it. */
const QUIET_LOAD = 0.5;
const DAILY_SWING = 0.06;
/** Load at the height of the crisis: over the highest threshold of defense (0.95), with room for noise below 1. */
const CRISIS_LOAD = 0.99;

/** When the crisis happens. From `driftMs` load rises to its height at `heightMs`; from `easeMs` it falls until `calmMs`. */
export interface Crisis {
  readonly driftMs: number;
  readonly heightMs: number;
  readonly easeMs: number;
  readonly calmMs: number;
}

/** Shortest height of a crisis, milliseconds: a minute of it must fill a whole look of the defense, late nodes included. */
const HEIGHT_MS_MIN = 180_000;

/**
 * A crisis halfway through a span: it drifts in over a quarter of it, stands for a tenth (at least 3 minutes) around
 * the middle, and recedes over another tenth.
 */
export function crisisWithin(startMs: number, durationMs: number): Crisis {
  const middleMs = startMs + durationMs / 2;
  const halfHeightMs = Math.max(durationMs * 0.05, HEIGHT_MS_MIN / 2);
  return {
    driftMs: middleMs - halfHeightMs - durationMs * 0.25,
    heightMs: middleMs - halfHeightMs,
    easeMs: middleMs + halfHeightMs,
    calmMs: middleMs + halfHeightMs + durationMs * 0.1,
  };
}

/** How far the crisis has come at an instant, 0 (none) to 1 (its height), with smooth flanks. */
export function crisisDepth(crisis: Crisis, atMs: number): number {
  const rise = smoothStep((atMs - crisis.driftMs) / (crisis.heightMs - crisis.driftMs));
  const fall = smoothStep((atMs - crisis.easeMs) / (crisis.calmMs - crisis.easeMs));
  return rise - fall;
}

/** Load of the quiet fleet at an instant; the day's low is at 03:00 UTC. */
export function quietLoad(atMs: number): number {
  return QUIET_LOAD - DAILY_SWING * Math.cos((2 * Math.PI * (atMs - DAY_MS / 8)) / DAY_MS);
}

/** Load of a node whose quiet load differs from the fleet's by `bias`, at a depth of the crisis. */
export function loadAt(quiet: number, bias: number, depth: number): number {
  return (quiet + bias) * (1 - depth) + CRISIS_LOAD * depth;
}

/** Cubic from 0 to 1 with flat ends, for x in 0..1; clamped outside. */
function smoothStep(x: number): number {
  const t = Math.min(1, Math.max(0, x));
  return t * t * (3 - 2 * t);
}
