/**
 * Commits the fold, one commit at a time, while the fold goes on. A commit takes everything decided so far, writes
 * the dead letters, then the streams (in transactions of bounded size, the last of which says how far the broker's
 * stream is covered), and only then acknowledges. What cannot be written is written again until it can: nothing that
 * was taken is ever dropped or decided anew.
 *
 *     idle --request--> pausing --(so that commits take at most a tenth of the time)--> committing --> idle
 */
import type { Clock } from '../../clock.ts';
import { captureStream, type StreamCapture } from './checkpoint.ts';
import type { RejectedLetter, TelemetryFold } from './fold.ts';

/** State written by one transaction, so that none holds the event loop for long; one stream may be larger. */
const PART_BYTES = 1024 * 1024;

/** Cost of a byte of summaries beside one of state. */
const EVENT_WEIGHT = 4;

/** Dead letters handed to the broker at once. */
const LETTERS_AT_ONCE = 1_024;

/** Pause before a commit, in durations of the one before. */
const PAUSE_FACTOR = 9;

const STOPPED = 'the fold of telemetry stopped before its commit';

const RETRY_MS = 100;
const RETRY_MAX_MS = 5_000;

/** Generation and sequence of the broker's stream. */
export interface Place {
  readonly generation: number;
  readonly sequence: number;
}

/** What commits write to. */
export interface CommitTarget {
  /** Resolves once all of them are held. */
  bury(letters: readonly RejectedLetter[]): Promise<void>;
  /** One transaction: streams covered to `covered`, the whole to `position`. */
  write(part: { captures: readonly StreamCapture[]; covered: Place; position: Place }): Promise<void>;
  /** Everything up to a sequence is committed. */
  acknowledge(sequence: number): void;
  /** A commit could not be written and will be tried again. */
  failed(error: unknown, retryMs: number): void;
}

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class CommitLoop {
  /** How far everything is committed, in the present generation. */
  committed: Place;
  /** Place of the last message that a commit took. */
  taken: number;
  commits = 0;
  failures = 0;
  /** Whether the commit under way has failed and is being tried again. */
  failing = false;

  private readonly fold: TelemetryFold;
  private readonly target: CommitTarget;
  private readonly clock: Clock;
  private readonly pauseMaxMs: number;
  private generation: number;
  /** What the last transaction said. */
  private written: Place;
  private wanted = false;
  private urgent = false;
  private running: Promise<void> | undefined;
  private readonly stopping = new AbortController();
  private waiters: Waiter[] = [];
  private durationMs = 0;
  private wake: (() => void) | undefined;

  constructor(
    fold: TelemetryFold,
    committed: Place,
    deps: { readonly target: CommitTarget; readonly clock: Clock; readonly pauseMaxMs: number },
  ) {
    this.fold = fold;
    this.committed = committed;
    this.generation = committed.generation;
    this.written = committed;
    this.taken = committed.sequence;
    this.target = deps.target;
    this.clock = deps.clock;
    this.pauseMaxMs = deps.pauseMaxMs;
  }

  /** Wants a commit soon; at once when `urgent`. */
  request(urgent = false): void {
    this.wanted = true;
    if (urgent && !this.urgent) {
      this.urgent = true;
      this.wake?.();
    }
    this.running ??= this.run();
  }

  /** Resolves once everything folded so far is committed; rejects when the loop stops before. */
  settled(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waiters.push({ resolve, reject });
      this.request(true);
    });
  }

  /** The broker's stream numbers anew, and its first message to come is `sequence`. */
  rebase(sequence: number): void {
    this.generation++;
    this.committed = { generation: this.generation, sequence: sequence - 1 };
    this.taken = sequence - 1;
    this.fold.rebase(sequence);
    this.request(true);
  }

  /** Ends; with `commit`, after one more commit if that succeeds at first try. */
  async stop(last?: 'commit'): Promise<void> {
    this.stopping.abort();
    if (last === 'commit') this.request(true);
    else this.wanted = false;
    this.wake?.();
    await this.running;
    for (const waiter of this.waiters) waiter.reject(new Error(STOPPED));
    this.waiters = [];
  }

  private async run(): Promise<void> {
    try {
      while (this.wanted) {
        if (!this.urgent) await this.pause(Math.min(this.durationMs * PAUSE_FACTOR, this.pauseMaxMs));
        this.wanted = false;
        this.urgent = false;
        const begunMs = this.clock.monotonicMs();
        const done = await this.commit();
        this.durationMs = this.clock.monotonicMs() - begunMs;
        if (!done) break;
      }
    } finally {
      this.running = undefined;
    }
  }

  /** One commit; false when it was given up because the loop stops. */
  private async commit(): Promise<boolean> {
    const { fold, generation } = this;
    const waiters = this.waiters;
    this.waiters = [];
    const sequence = fold.lastSequence;
    this.taken = sequence;
    const letters = fold.deadLetters;
    fold.deadLetters = [];
    fold.deadLetterBytes = 0;
    fold.windowsClosed = 0;
    fold.closedBytes = 0;
    const captures = fold.dirty.map(captureStream);
    fold.dirty = [];
    const covered = { generation, sequence };
    const steps: (() => Promise<void>)[] = [];
    for (let from = 0; from < letters.length; from += LETTERS_AT_ONCE)
      steps.push(() => this.target.bury(letters.slice(from, from + LETTERS_AT_ONCE)));
    const parts = captures.length > 0 || !isSame(covered, this.written) ? partition(captures) : [];
    parts.forEach((part, i) => {
      const position = i === parts.length - 1 ? covered : this.committed;
      steps.push(() => this.target.write({ captures: part, covered, position }));
    });
    for (const step of steps) {
      if (await this.insist(step)) continue;
      for (const waiter of waiters) waiter.reject(new Error(STOPPED));
      return false;
    }
    if (parts.length > 0) this.commits++;
    this.written = covered;
    this.finish(captures, covered);
    for (const waiter of waiters) waiter.resolve();
    return true;
  }

  private finish(captures: readonly StreamCapture[], covered: Place): void {
    for (const capture of captures)
      for (const { run, highest, holes } of capture.sequences) run.committed(highest, holes);
    if (covered.generation !== this.generation) return; // The stream was made anew meanwhile.
    this.committed = covered;
    this.target.acknowledge(covered.sequence);
  }

  /** Repeats a step until it succeeds; false when the loop stops first. */
  private async insist(step: () => Promise<void>): Promise<boolean> {
    for (let retryMs = RETRY_MS; ; retryMs = Math.min(retryMs * 2, RETRY_MAX_MS)) {
      try {
        await step();
        this.failing = false;
        return true;
      } catch (error) {
        this.failures++;
        this.failing = true;
        this.target.failed(error, retryMs);
        if (this.stopping.signal.aborted) return false;
        await this.pause(retryMs);
      }
    }
  }

  /** Waits, at most until something urgent comes or the loop stops. */
  private pause(durationMs: number): Promise<void> {
    if (durationMs <= 0 || this.stopping.signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        timer.cancel();
        this.wake = undefined;
        resolve();
      };
      const timer = this.clock.after(durationMs, done, true);
      this.wake = done;
    });
  }
}

function isSame(one: Place, other: Place): boolean {
  return one.generation === other.generation && one.sequence === other.sequence;
}

/** Captures in groups of bounded size; one group, perhaps empty, at least. */
function partition(captures: readonly StreamCapture[]): readonly StreamCapture[][] {
  const parts: StreamCapture[][] = [[]];
  let bytes = 0;
  for (const capture of captures) {
    const weight = weightOf(capture);
    if (bytes > 0 && bytes + weight > PART_BYTES) {
      parts.push([]);
      bytes = 0;
    }
    parts.at(-1)!.push(capture);
    bytes += weight;
  }
  return parts;
}

/** Bytes to write; summaries weigh more, since they are encoded as events. */
function weightOf({ state, closed }: StreamCapture): number {
  return closed.reduce((sum, window) => sum + window.summaries.byteLength * EVENT_WEIGHT, state.length);
}
