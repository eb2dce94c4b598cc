/**
 * When a demo happens, in event time: eight hours of history as fast as the server takes them, so that the maps have
 * learned what is usual and the early warnings have a past to compare with; then the shown part at 120 seconds of event
 * time a second, with the crisis in its middle.
 */

export const DEMO_STREAM = { domain: 'fleet', cluster: 'west' } as const;
/** Seconds of event time per second. */
export const DEMO_RATE = 120;
/** Nearly all the 512 minutes that early warnings remember, and far more than the 64 windows a map learns from. */
const HISTORY_MS = 8 * 3_600_000;
/** The shown part ends this long before now, so that no sample comes from the future. */
const SLACK_MS = 60_000;
/**
 * The first sample falls on the start of a window: the first node heard moves the watermark before the others are
 * known, and must not pass a boundary with it. It also falls on the instant of a look for early warnings, so that the
 * same seed is looked at in the same places whenever the demo is run.
 */
const ALIGN_MS = 15 * 60_000;

export interface DemoOptions {
  readonly nodes: number;
  readonly seed: number;
  /** Length of the shown part, milliseconds of wall time. */
  readonly showMs: number;
}

/** Event times of a demo, milliseconds. */
export interface Timeline {
  readonly startMs: number;
  readonly showStartMs: number;
  readonly endMs: number;
}

export function planTimeline(nowMs: number, showMs: number): Timeline {
  const lengthMs = HISTORY_MS + showMs * DEMO_RATE;
  const startMs = Math.floor((nowMs - SLACK_MS - lengthMs) / ALIGN_MS) * ALIGN_MS;
  return { startMs, showStartMs: startMs + HISTORY_MS, endMs: startMs + lengthMs };
}
