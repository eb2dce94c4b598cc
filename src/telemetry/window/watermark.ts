/**
 * How far a stream's event time has certainly come: the least newest event time of the sources within 60 s of the
 * stream's newest (or the stream's newest if none is), minus the allowed lateness. A source that said it ended, or
 * whose next run began, takes no part. Only messages move it.
 *
 * The exact minimum is needed only when it may pass a window boundary. A live source that has not reached the next
 * boundary proves that it has not, so one such witness is kept and checked in constant time per message.
 */

/** Sources further behind the stream's newest event time than this are idle, milliseconds. */
export const LIVE_WITHIN_MS = 60_000;

/** What the watermark knows of a source. */
export interface Progress {
  /** Newest event time of its accepted and late samples; -Infinity before the first. */
  newestMs: number;
  /** Whether it ended. */
  ended: boolean;
}

export class Watermark {
  /** Newest event time of the stream, that of silence included. */
  newestMs = Number.NEGATIVE_INFINITY;
  /** Every source; owned by the caller, who adds and removes. */
  private readonly sources: readonly Progress[];
  private witness: Progress | undefined;
  private cursor = 0;
  /** Event time every live source must reach before the watermark passes a boundary. */
  private neededMs = Number.NEGATIVE_INFINITY;

  constructor(sources: readonly Progress[]) {
    this.sources = sources;
  }

  isLive(source: Progress): boolean {
    return !source.ended && source.newestMs >= this.newestMs - LIVE_WITHIN_MS;
  }

  /** Whether the watermark may have passed the boundary last given to `expect`. */
  mayPass(): boolean {
    const { witness, sources } = this;
    if (witness !== undefined && this.holds(witness)) return false;
    for (let tried = 0; tried < sources.length; tried++) {
      if (this.cursor >= sources.length) this.cursor = 0;
      const source = sources[this.cursor]!;
      if (this.holds(source)) {
        this.witness = source;
        return false;
      }
      this.cursor++;
    }
    this.witness = undefined;
    return this.newestMs >= this.neededMs;
  }

  /** The watermark itself; linear in the sources. -Infinity before the first event time. */
  value(latenessMs: number): number {
    let least = Number.POSITIVE_INFINITY;
    for (const source of this.sources)
      if (source.newestMs < least && this.isLive(source)) least = source.newestMs;
    return (least === Number.POSITIVE_INFINITY ? this.newestMs : least) - latenessMs;
  }

  /** The next boundary that can be passed; -Infinity asks again at the next message. */
  expect(boundaryMs: number, latenessMs: number): void {
    this.neededMs = boundaryMs + latenessMs;
  }

  /** Forgets the witness, after sources were removed. */
  sourcesRemoved(): void {
    this.witness = undefined;
  }

  private holds(source: Progress): boolean {
    return source.newestMs < this.neededMs && this.isLive(source);
  }
}
