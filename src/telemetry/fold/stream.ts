/**
 * The state of one telemetry stream, a deterministic function of its messages in the broker's order: the same
 * messages from the same checkpoint give the same counts, windows and gaps. `judge.ts` feeds it; this file owns event
 * time, the open windows and what has been decided but not yet published. All times are milliseconds since 1970.
 */

import { RecentContent } from '../source/content.ts';
import type { GapCounts, Hole } from '../source/sequence.ts';
import { SourceRegistry, type SourceRun } from '../source/source.ts';
import { SeriesCatalog } from '../window/catalog.ts';
import { type ClosedWindow, summarize } from '../window/closing.ts';
import { type PlanSegment, WindowPlan } from '../window/plan.ts';
import { Watermark } from '../window/watermark.ts';
import { CELL, CELL_COUNT, Window } from '../window/window.ts';
import { ACCEPTED, addCounts, type Counts, createCounts } from './counts.ts';

/** How a stream is folded where nobody configured it. */
export interface FoldSettings {
  /** Width of a window, milliseconds. */
  readonly windowMs: number;
  /** Allowed lateness, milliseconds. */
  readonly latenessMs: number;
  /** Most series of one stream. */
  readonly seriesMax: number;
  /** Event time after which a series or source not heard of is forgotten, milliseconds. */
  readonly memoryMs: number;
}

/** Origins remembered per stream; further ones are not counted. */
const ORIGINS_MAX = 64;

/** How often silent series and sources are looked for, milliseconds of event time. */
const SWEEP_MS = 3_600_000;

/** A hole that became a gap. */
export interface GapFound {
  readonly sourceId: string;
  readonly epoch: number;
  readonly first: number;
  readonly last: number;
  readonly detectedAtMs: number;
}

/** The part of a stream that is a handful of numbers; what a checkpoint keeps as JSON. */
export interface StreamHead {
  /** Greatest window boundary the watermark has passed: samples before it are late. */
  closedUntilMs: number;
  /** Newest event time of producers, and when the broker took their last message. */
  newestHeardMs: number;
  heardAtMs: number;
  /** Version of the configuration in force; 0 for none. */
  configVersion: number;
  latenessMs: number;
  windowsClosed: number;
  /** Messages without a sequence. */
  unsequenced: number;
  nextSweepMs: number;
  /** Whether the window closed last said that the input ended. */
  endAnnounced: boolean;
}

export class StreamFold {
  readonly domain: string;
  readonly cluster: string;
  readonly settings: FoldSettings;
  readonly head: StreamHead;
  readonly gaps: GapCounts = { open: 0, missing: 0, closed: 0 };
  /** Outcomes up to the last closed window, and since. */
  readonly samples: Counts = createCounts();
  readonly messages: Counts = createCounts();
  readonly samplesPending: Counts = createCounts();
  readonly messagesPending: Counts = createCounts();
  /** Messages by the attributes that named their place, `domain,cluster,node`, in order of appearance. */
  readonly origins = new Map<string, number>();
  catalog: SeriesCatalog;
  plan: WindowPlan;
  content = new RecentContent();
  readonly sources = new SourceRegistry((run) => this.giveUp(run));
  readonly watermark = new Watermark(this.sources.runs);
  /** Open windows, ascending. */
  readonly windows: Window[] = [];
  /** The open window last used; undefined when there is none. */
  current: Window | undefined;
  /** Decided since the last checkpoint. */
  closed: ClosedWindow[] = [];
  found: GapFound[] = [];
  /** Messages up to this place in the broker's stream are part of the state it was restored from. */
  appliedSequence = 0;
  /** Whether anything changed since the last checkpoint. */
  dirty = false;
  /** Which names the last checkpoint holds. */
  capturedNames = '';
  /** Event time at which the next hole becomes a gap. */
  private gapDueMs = Number.POSITIVE_INFINITY;

  constructor(domain: string, cluster: string, settings: FoldSettings, plan?: readonly PlanSegment[]) {
    this.domain = domain;
    this.cluster = cluster;
    this.settings = settings;
    this.catalog = new SeriesCatalog(settings.seriesMax);
    this.plan = new WindowPlan(plan ?? [{ fromMs: Number.NEGATIVE_INFINITY, widthMs: settings.windowMs }]);
    this.head = {
      closedUntilMs: Number.NEGATIVE_INFINITY,
      newestHeardMs: Number.NEGATIVE_INFINITY,
      heardAtMs: 0,
      configVersion: 0,
      latenessMs: settings.latenessMs,
      windowsClosed: 0,
      unsequenced: 0,
      nextSweepMs: Number.NEGATIVE_INFINITY,
      endAnnounced: false,
    };
  }

  /** The watermark: everything before it is closed. -Infinity before the first event time. */
  watermarkMs(): number {
    return Math.max(this.head.closedUntilMs, this.watermark.value(this.head.latenessMs));
  }

  /** The open window that holds an instant not before `closedUntilMs`, opened if need be. */
  windowAt(timeMs: number): Window {
    const { windows } = this;
    let at = windows.length;
    while (at > 0 && timeMs < windows[at - 1]!.endMs) at--;
    let window = windows[at];
    if (window === undefined || timeMs < window.startMs) {
      window = new Window(this.plan.startOf(timeMs), this.plan.endOf(timeMs), this.catalog.seriesCount + 64);
      windows.splice(at, 0, window);
    }
    this.current = window;
    return window;
  }

  /**
   * Moves event time on with a message of a source whose newest event time is `newestMs` (-Infinity: none), and
   * closes what the watermark passed.
   */
  advance(run: SourceRun, newestMs: number, receivedAtMs: number, brokerSequence: number): void {
    const { head, watermark } = this;
    if (newestMs > run.newestMs) run.newestMs = newestMs;
    if (newestMs > head.newestHeardMs) head.newestHeardMs = newestMs;
    if (newestMs > watermark.newestMs) watermark.newestMs = newestMs;
    head.heardAtMs = receivedAtMs;
    run.heardMs = watermark.newestMs;
    this.settle(brokerSequence);
  }

  /**
   * Moves event time on by silence: never further past the newest event time of producers than time passed between
   * the broker's stamps of their last message and of this one, so nobody can claim more silence than there was.
   */
  silence(claimedMs: number, receivedAtMs: number, brokerSequence: number): void {
    const { head, watermark } = this;
    const silentMs = Math.max(0, receivedAtMs - head.heardAtMs);
    const newestMs = Math.min(claimedMs, head.newestHeardMs + silentMs);
    if (!(newestMs > watermark.newestMs)) return;
    watermark.newestMs = newestMs;
    this.settle(brokerSequence);
  }

  /**
   * A run said that the recording ended: every open window closes. Where silence has closed them all before, one window
   * of nobody carries the news, since consumers would otherwise wait for the stream for ever.
   */
  endOfInput(run: SourceRun, brokerSequence: number): void {
    run.ended = true;
    const { head, windows, plan } = this;
    if (windows.length === 0) {
      if (head.endAnnounced || !Number.isFinite(head.closedUntilMs)) return;
      windows.push(new Window(head.closedUntilMs, plan.endOf(head.closedUntilMs), 0));
    }
    this.closeUntil(windows.at(-1)!.endMs, brokerSequence, true);
  }

  /** Counts a message by the attributes that named its place. */
  countOrigin(origin: string): void {
    const known = this.origins.get(origin);
    if (known !== undefined || this.origins.size < ORIGINS_MAX) this.origins.set(origin, (known ?? 0) + 1);
  }

  /** A hole appeared in a run's sequences with the message just folded. */
  holeOpened(run: SourceRun, messageMs: number): void {
    const nowMs = Number.isFinite(this.watermark.newestMs) ? this.watermark.newestMs : messageMs;
    this.gapDueMs = Math.min(this.gapDueMs, run.sequences.holeOpened(nowMs));
  }

  /** Takes a configuration; false when it is not newer than the one in force. */
  configure(version: number, widthMs: number, latenessMs: number): boolean {
    if (version <= this.head.configVersion) return false;
    this.head.configVersion = version;
    this.head.latenessMs = latenessMs;
    if (widthMs !== this.plan.widthMs) {
      const fromMs = this.windows.at(-1)?.endMs ?? this.plan.endOf(this.watermark.newestMs);
      this.plan.change(widthMs, Math.max(fromMs, this.head.closedUntilMs));
    }
    this.watermark.expect(Number.NEGATIVE_INFINITY, 0);
    return true;
  }

  /** Finds again what follows from a restored state. */
  restored(): void {
    for (const run of this.sources.runs) this.gapDueMs = Math.min(this.gapDueMs, run.sequences.nextGapMs());
  }

  private settle(brokerSequence: number): void {
    const { head, watermark } = this;
    if (watermark.newestMs >= this.gapDueMs) this.declareGaps();
    if (!watermark.mayPass()) return;
    const valueMs = watermark.value(head.latenessMs);
    const untilMs = this.plan.startOf(valueMs);
    if (untilMs > head.closedUntilMs) this.closeUntil(untilMs, brokerSequence, false);
    watermark.expect(this.plan.endOf(Math.max(valueMs, head.closedUntilMs)), head.latenessMs);
  }

  private closeUntil(untilMs: number, brokerSequence: number, endOfInput: boolean): void {
    const { windows } = this;
    while (windows.length > 0 && windows[0]!.endMs <= untilMs) {
      const window = windows.shift()!;
      this.close(window, brokerSequence, endOfInput && windows.length === 0);
    }
    this.current = undefined;
    this.head.closedUntilMs = untilMs;
    this.plan.prune(untilMs);
    if (untilMs >= this.head.nextSweepMs) this.sweep(untilMs);
  }

  private close(window: Window, brokerSequence: number, endOfInput: boolean): void {
    const samples = this.samplesPending.slice();
    samples[ACCEPTED] = 0;
    for (let row = 0; row < window.cellCount; row++)
      samples[ACCEPTED] += window.cells[row * CELL + CELL_COUNT]!;
    this.closed.push({
      startMs: window.startMs,
      endMs: window.endMs,
      ...summarize(window, this.catalog),
      samples,
      messages: this.messagesPending.slice(),
      brokerSequence,
      endOfInput,
    });
    // Windows of nobody are not counted: whether silence came first depends on the wall clock.
    if (window.cellCount > 0) this.head.windowsClosed++;
    this.head.endAnnounced = endOfInput;
    addCounts(this.samples, this.samplesPending);
    addCounts(this.messages, this.messagesPending);
    this.samplesPending.fill(0);
    this.messagesPending.fill(0);
  }

  /** Forgets what was not heard of for long. Open windows hold nothing older than `untilMs`. */
  private sweep(untilMs: number): void {
    this.head.nextSweepMs = untilMs + SWEEP_MS;
    const beforeMs = untilMs - this.settings.memoryMs;
    this.sources.forget(beforeMs);
    const renumbered = this.catalog.forget(beforeMs);
    if (renumbered) for (const window of this.windows) window.renumber(renumbered);
  }

  private declareGaps(): void {
    this.gapDueMs = Number.POSITIVE_INFINITY;
    for (const run of this.sources.runs) {
      if (run.sequences.holes.length === 0) continue;
      this.report(run, run.sequences.declare(this.watermark.newestMs, this.gaps));
      this.gapDueMs = Math.min(this.gapDueMs, run.sequences.nextGapMs());
    }
  }

  /** A run is forgotten: what it misses, nobody can fill any more. */
  private giveUp(run: SourceRun): void {
    this.watermark.sourcesRemoved();
    this.report(run, run.sequences.declare(Number.POSITIVE_INFINITY, this.gaps));
  }

  private report(run: SourceRun, holes: readonly Hole[]): void {
    for (const { first, last, openedAtMs } of holes) {
      // Before any event time there is only that of the message that opened the hole.
      const detectedAtMs = Math.max(this.watermark.newestMs, openedAtMs);
      this.found.push({ sourceId: run.sourceId, epoch: run.epoch, first, last, detectedAtMs });
    }
    if (holes.length > 0) run.changed = true;
  }
}
