/**
 * The sources of one stream. A source is one run of a producer, (source id, epoch); of each producer the two newest
 * runs are remembered, and a greater epoch ends the ones before. Messages without a sequence belong to a run of epoch
 * 0 of their own. Runs are kept in order of appearance.
 */

import type { Progress } from '../window/watermark.ts';
import { type Hole, isKnown, SequenceWindow } from './sequence.ts';

/** Runs remembered per producer. */
const EPOCHS_REMEMBERED = 2;

/** Runs remembered per stream; beyond it the quarter not heard of for longest is forgotten. */
export const RUNS_MAX = 20_000;

export class SourceRun implements Progress {
  readonly sourceId: string;
  /** 0 for messages without a sequence. */
  readonly epoch: number;
  readonly sequences: SequenceWindow;
  newestMs = Number.NEGATIVE_INFINITY;
  ended = false;
  /** Newest event time of the stream when the run was last heard of. */
  heardMs = Number.NEGATIVE_INFINITY;
  /** Whether the registry gave it up: holders must ask for it again. */
  forgotten = false;
  /** Whether it changed since the last checkpoint. */
  changed = false;
  /** What of `sequences` is committed. */
  private committedHighest = 0;
  private committedHoles: readonly Hole[] = [];

  constructor(sourceId: string, epoch: number, sequences = new SequenceWindow()) {
    this.sourceId = sourceId;
    this.epoch = epoch;
    this.sequences = sequences;
  }

  /** Takes over what a checkpoint committed; `holes` is kept. */
  committed(highest: number, holes: readonly Hole[]): void {
    this.committedHighest = highest;
    this.committedHoles = holes;
  }

  /** Whether a number was seen, by what is committed. */
  knewAtCommit(sequence: number): boolean {
    return isKnown(this.committedHighest, this.committedHoles, sequence);
  }
}

/** What the registry gave up while it made room: runs whose holes nobody can fill any more. */
export type Forget = (run: SourceRun) => void;

export class SourceRegistry {
  /** In order of appearance; read only. */
  readonly runs: SourceRun[] = [];
  /** Changes whenever a run came or went. */
  edition = 0;
  private readonly bySource = new Map<string, SourceRun[]>();
  private readonly onForget: Forget;

  constructor(onForget: Forget) {
    this.onForget = onForget;
  }

  /** The run, made where it is new; undefined when its epoch is older than the two remembered. */
  run(sourceId: string, epoch: number, sequenced: boolean): SourceRun | undefined {
    const known = this.bySource.get(keyOf(sourceId, sequenced));
    if (known === undefined) return this.add(new SourceRun(sourceId, epoch));
    for (const run of known) if (run.epoch === epoch) return run;
    if (known.length === EPOCHS_REMEMBERED && epoch < known[0]!.epoch) return undefined;
    return this.add(new SourceRun(sourceId, epoch));
  }

  /** The run, if it is known. */
  find(sourceId: string, epoch: number): SourceRun | undefined {
    return this.bySource.get(keyOf(sourceId, epoch > 0))?.find((run) => run.epoch === epoch);
  }

  /** Whether no later run of the producer is known. */
  isNewest(run: SourceRun): boolean {
    return this.bySource.get(keyOf(run.sourceId, run.epoch > 0))?.at(-1) === run;
  }

  /** Puts in a run: of its producer the older ones have ended, and only two are kept. */
  add(run: SourceRun): SourceRun {
    const key = keyOf(run.sourceId, run.epoch > 0);
    const known = this.bySource.get(key) ?? [];
    known.push(run);
    known.sort((a, b) => a.epoch - b.epoch);
    this.bySource.set(key, known);
    this.runs.push(run);
    this.edition++;
    for (const older of known.slice(0, -1)) older.ended = true;
    if (known.length > EPOCHS_REMEMBERED) this.remove(new Set([known[0]!]));
    if (this.runs.length > RUNS_MAX) {
      const oldest = this.runs.filter((other) => other !== run).sort((a, b) => a.heardMs - b.heardMs);
      this.remove(new Set(oldest.slice(0, RUNS_MAX / 4)));
    }
    return run;
  }

  /** Forgets runs not heard of since `beforeMs`; one heard before any event time stays. Linear in the runs. */
  forget(beforeMs: number): void {
    const idle = this.runs.filter(
      (run) => run.heardMs < beforeMs && run.heardMs !== Number.NEGATIVE_INFINITY,
    );
    if (idle.length > 0) this.remove(new Set(idle));
  }

  private remove(runs: ReadonlySet<SourceRun>): void {
    const kept = this.runs.filter((run) => !runs.has(run));
    this.runs.length = 0;
    this.runs.push(...kept);
    for (const run of runs) {
      run.forgotten = true;
      const key = keyOf(run.sourceId, run.epoch > 0);
      const others = this.bySource.get(key)!.filter((other) => other !== run);
      if (others.length > 0) this.bySource.set(key, others);
      else this.bySource.delete(key);
      this.onForget(run);
    }
    this.edition++;
  }
}

/** Runs with and without sequences are told apart, so that neither ends the other. */
function keyOf(sourceId: string, sequenced: boolean): string {
  return sequenced ? `#${sourceId}` : `-${sourceId}`;
}
