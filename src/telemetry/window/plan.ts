/**
 * How event time is cut into windows. Windows tile the time line without overlap, aligned to multiples of their
 * width since 1970. A change of width takes effect at a boundary after every window opened so far; the first window
 * after it may be shorter, up to the next multiple of the new width. All times are milliseconds since 1970.
 */

/** From `fromMs` on (inclusive) windows are `widthMs` wide. */
export interface PlanSegment {
  readonly fromMs: number;
  readonly widthMs: number;
}

export class WindowPlan {
  /** Ascending; the first begins at -Infinity. */
  private segments: PlanSegment[];

  constructor(segments: readonly PlanSegment[]) {
    this.segments = [...segments];
  }

  /** Width of windows opened from now on. */
  get widthMs(): number {
    return this.segments.at(-1)!.widthMs;
  }

  list(): readonly PlanSegment[] {
    return this.segments;
  }

  /** First instant of the window that holds `timeMs`; also the greatest boundary at or before it. */
  startOf(timeMs: number): number {
    if (!Number.isFinite(timeMs)) return timeMs;
    const { fromMs, widthMs } = this.segments[this.segmentOf(timeMs)]!;
    return Math.max(fromMs, Math.floor(timeMs / widthMs) * widthMs);
  }

  /** First instant after the window that holds `timeMs`. */
  endOf(timeMs: number): number {
    if (!Number.isFinite(timeMs)) return timeMs;
    const at = this.segmentOf(timeMs);
    const { widthMs } = this.segments[at]!;
    const next = this.segments[at + 1]?.fromMs ?? Number.POSITIVE_INFINITY;
    return Math.min(next, Math.floor(timeMs / widthMs) * widthMs + widthMs);
  }

  /** Windows from `fromMs` on are `widthMs` wide; `fromMs` is a boundary no opened window lies beyond. */
  change(widthMs: number, fromMs: number): void {
    const last = this.segments.at(-1)!;
    if (fromMs > last.fromMs) this.segments.push({ fromMs, widthMs });
    else this.segments[this.segments.length - 1] = { fromMs: last.fromMs, widthMs };
  }

  /** Forgets widths that only windows before `timeMs` had; earlier times are never asked for again. */
  prune(timeMs: number): void {
    const at = this.segmentOf(timeMs);
    if (at > 0) this.segments = this.segments.slice(at);
  }

  private segmentOf(timeMs: number): number {
    let at = this.segments.length - 1;
    while (at > 0 && timeMs < this.segments[at]!.fromMs) at--;
    return at;
  }
}
