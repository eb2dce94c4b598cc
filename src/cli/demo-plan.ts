/**
 * When a demo happens, in event time: twenty minutes of history as fast as the broker takes them, so that the maps have
 * learned what is usual; then the shown part at 120 seconds of event time a second, with the crisis in its middle.
 */

export const DEMO_STREAM = { domain: 'fleet', cluster: 'west' } as const;
/** Seconds of event time per second. */
export const DEMO_RATE = 120;
/** More than the 64 windows of 10 s after which a map has learned what is usual. */
const HISTORY_MS = 20 * 60_000;
/** The shown part ends this long before now, so that no sample comes from the future. */
const SLACK_MS = 60_000;
/**
 * The first sample falls on the start of a window: the first node heard moves the watermark before the others are
 * known, and must not pass a boundary with it.
 */
const ALIGN_MS = 60_000;

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
