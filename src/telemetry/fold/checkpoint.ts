/**
 * A stream's state as it is kept in SQL: a few numbers and plans as JSON, names as JSON (written only when they
 * changed), and the bulk (series, open windows, sources) as one array of little-endian doubles, copied, not
 * formatted. Restoring what was captured gives a stream that goes on exactly as the captured one would have.
 */

import { type ContentAddition, RecentContent } from '../source/content.ts';
import type { GapCounts, Hole } from '../source/sequence.ts';
import { SequenceWindow } from '../source/sequence.ts';
import { SourceRun } from '../source/source.ts';
import type { CatalogMetric, CatalogNode } from '../window/catalog.ts';
import { HISTORY } from '../window/catalog.ts';
import type { ClosedWindow } from '../window/closing.ts';
import type { PlanSegment } from '../window/plan.ts';
import { CELL, Window } from '../window/window.ts';
import { createCounts } from './counts.ts';
import { type FoldSettings, type GapFound, StreamFold, type StreamHead } from './stream.ts';

/** Version of the layout of `state`. */
const FORMAT = 1;

/** Everything one commit writes about a stream. */
export interface StreamCapture {
  readonly stream: StreamFold;
  readonly head: string;
  /** Undefined when the names are those of the last capture. */
  readonly names: string | undefined;
  readonly state: Uint8Array;
  readonly content: readonly ContentAddition[];
  readonly contentFloorMinute: number;
  readonly closed: readonly ClosedWindow[];
  readonly found: readonly GapFound[];
  /** Sequences of the sources that changed, to be handed over once they are committed. */
  readonly sequences: readonly { run: SourceRun; highest: number; holes: readonly Hole[] }[];
}

/** The rows that restore a stream. */
export interface StoredStream {
  readonly domain: string;
  readonly cluster: string;
  readonly head: string;
  readonly names: string;
  readonly state: Uint8Array;
}

/** `StreamHead` and what else is few and plain; infinite numbers are null. */
export interface HeadRecord extends StreamHead {
  readonly newestMs: number;
  readonly contentFloorMinute: number;
  readonly gaps: GapCounts;
  readonly samples: readonly number[];
  readonly messages: readonly number[];
  readonly samplesPending: readonly number[];
  readonly messagesPending: readonly number[];
  readonly plan: readonly PlanSegment[];
  /** Absent from checkpoints made before origins were counted. */
  readonly origins?: readonly (readonly [origin: string, messages: number])[];
  /** What reports tell and restoring does not need. */
  readonly watermarkMs: number;
  readonly windowsOpen: number;
}

interface NamesRecord {
  readonly nodes: readonly [name: string, row: number, col: number][];
  readonly metrics: readonly [name: string, unit: string, kind: CatalogMetric['kind']][];
  /** Source id of each run, in the order of the state. */
  readonly sources: readonly string[];
}

/**
 * Takes what changed since the last capture, with which the stream counts as unchanged. Copies everything, so the
 * stream may go on at once. Linear in series and sources.
 */
export function captureStream(stream: StreamFold): StreamCapture {
  const { closed, found } = stream;
  const names = namesEdition(stream);
  const namesChanged = names !== stream.capturedNames;
  stream.capturedNames = names;
  stream.closed = [];
  stream.found = [];
  stream.dirty = false;
  const sequences: { run: SourceRun; highest: number; holes: readonly Hole[] }[] = [];
  for (const run of stream.sources.runs) {
    if (!run.changed) continue;
    run.changed = false;
    sequences.push({
      run,
      highest: run.sequences.highest,
      holes: run.sequences.holes.map((hole) => ({ ...hole })),
    });
  }
  return {
    stream,
    head: JSON.stringify(headOf(stream)),
    names: namesChanged ? JSON.stringify(namesOf(stream)) : undefined,
    state: encodeState(stream),
    content: stream.content.takeAdded(),
    contentFloorMinute: stream.content.floorMinute,
    closed,
    found,
    sequences,
  };
}

/** What tells two sets of names apart. */
function namesEdition(stream: StreamFold): string {
  return `${stream.catalog.edition}/${stream.sources.edition}`;
}

export function parseHead(text: string): HeadRecord {
  const record: HeadRecord = JSON.parse(text, (_key, value) =>
    value === null ? Number.NEGATIVE_INFINITY : value,
  );
  return record;
}

/** Makes the stream anew. `content` is filled in by the caller. */
export function restoreStream(stored: StoredStream, settings: FoldSettings): StreamFold {
  const { plan, gaps, newestMs, contentFloorMinute, origins, ...record } = parseHead(stored.head);
  const {
    samples,
    messages,
    samplesPending,
    messagesPending,
    watermarkMs: _,
    windowsOpen: __,
    ...head
  } = record;
  const stream = new StreamFold(stored.domain, stored.cluster, settings, plan);
  Object.assign(stream.head, head);
  Object.assign(stream.gaps, gaps);
  for (const [origin, messages] of origins ?? []) stream.origins.set(origin, messages);
  stream.samples.set(createCounts(samples));
  stream.messages.set(createCounts(messages));
  stream.samplesPending.set(createCounts(samplesPending));
  stream.messagesPending.set(createCounts(messagesPending));
  stream.watermark.newestMs = newestMs;
  stream.content = new RecentContent(contentFloorMinute);
  decodeState(stream, stored);
  stream.restored();
  stream.capturedNames = namesEdition(stream);
  return stream;
}

/** The source runs of a stored stream, without restoring the rest. */
export function readRuns(stored: StoredStream): readonly SourceRun[] {
  const { names, numbers } = openState(stored);
  skipBlocks(numbers);
  return decodeRuns(names, numbers);
}

function headOf(stream: StreamFold): HeadRecord {
  return {
    ...stream.head,
    newestMs: stream.watermark.newestMs,
    contentFloorMinute: stream.content.floorMinute,
    gaps: { ...stream.gaps },
    samples: Array.from(stream.samples),
    messages: Array.from(stream.messages),
    samplesPending: Array.from(stream.samplesPending),
    messagesPending: Array.from(stream.messagesPending),
    plan: stream.plan.list(),
    origins: [...stream.origins],
    watermarkMs: stream.watermarkMs(),
    windowsOpen: stream.windows.length,
  };
}

function namesOf(stream: StreamFold): NamesRecord {
  const { nodes, metrics } = stream.catalog;
  return {
    nodes: nodes.map(({ name, row, col }) => [name, row, col]),
    metrics: metrics.map(({ name, unit, kind }) => [name, unit, kind]),
    sources: stream.sources.runs.map((run) => run.sourceId),
  };
}

/** Layout: FORMAT; series rows; per open window start, end and rows; per run its numbers and holes. Counts first. */
function encodeState(stream: StreamFold): Uint8Array {
  const { catalog, windows } = stream;
  const { runs } = stream.sources;
  let size = 4 + catalog.seriesCount * HISTORY;
  for (const window of windows) size += 3 + window.cellCount * CELL;
  for (const run of runs) size += 7 + run.sequences.holes.length * 4;
  const numbers = new Float64Array(size);
  let at = 0;
  numbers[at++] = FORMAT;
  numbers[at++] = catalog.seriesCount;
  numbers.set(catalog.history.subarray(0, catalog.seriesCount * HISTORY), at);
  at += catalog.seriesCount * HISTORY;
  numbers[at++] = windows.length;
  for (const window of windows) {
    numbers[at++] = window.startMs;
    numbers[at++] = window.endMs;
    numbers[at++] = window.cellCount;
    numbers.set(window.cells.subarray(0, window.cellCount * CELL), at);
    at += window.cellCount * CELL;
  }
  numbers[at++] = runs.length;
  for (const run of runs) {
    const { highest, lost, holes } = run.sequences;
    for (const number of [
      run.epoch,
      highest,
      lost,
      run.newestMs,
      run.heardMs,
      Number(run.ended),
      holes.length,
    ])
      numbers[at++] = number;
    for (const hole of holes)
      for (const number of [hole.first, hole.last, hole.openedAtMs, Number(hole.declared)])
        numbers[at++] = number;
  }
  return new Uint8Array(numbers.buffer);
}

/** Reads numbers one after the other. */
interface NumberReader {
  next(): number;
  take(count: number): Float64Array;
}

function openState(stored: StoredStream): { names: NamesRecord; numbers: NumberReader } {
  const names: NamesRecord = JSON.parse(stored.names);
  const all = new Float64Array(stored.state.slice().buffer);
  let at = 0;
  const numbers: NumberReader = {
    next: () => all[at++]!,
    take: (count) => {
      const taken = all.subarray(at, at + count);
      at += count;
      return taken;
    },
  };
  const format = numbers.next();
  if (format !== FORMAT)
    throw new Error(`checkpoint of ${stored.domain}.${stored.cluster} has the unknown format ${format}`);
  return { names, numbers };
}

function decodeState(stream: StreamFold, stored: StoredStream): void {
  const { names, numbers } = openState(stored);
  const nodes: CatalogNode[] = names.nodes.map(([name, row, col]) => ({ name, row, col }));
  const metrics: CatalogMetric[] = names.metrics.map(([name, unit, kind]) => ({ name, unit, kind }));
  stream.catalog.restore(nodes, metrics, numbers.take(numbers.next() * HISTORY));
  for (let left = numbers.next(); left > 0; left--) {
    const window = new Window(numbers.next(), numbers.next(), stream.catalog.seriesCount + 64);
    window.restore(numbers.take(numbers.next() * CELL));
    stream.windows.push(window);
  }
  for (const run of decodeRuns(names, numbers)) {
    stream.sources.add(run);
    run.committed(
      run.sequences.highest,
      run.sequences.holes.map((hole) => ({ ...hole })),
    );
  }
}

function skipBlocks(numbers: NumberReader): void {
  numbers.take(numbers.next() * HISTORY);
  for (let left = numbers.next(); left > 0; left--) {
    numbers.take(2);
    numbers.take(numbers.next() * CELL);
  }
}

function decodeRuns(names: NamesRecord, numbers: NumberReader): SourceRun[] {
  const runs: SourceRun[] = [];
  const count = numbers.next();
  for (let i = 0; i < count; i++) {
    const [epoch, highest, lost, newestMs, heardMs, ended, holeCount] = numbers.take(7);
    const holes: Hole[] = [];
    for (let h = 0; h < holeCount!; h++) {
      const [first, last, openedAtMs, declared] = numbers.take(4);
      holes.push({ first: first!, last: last!, openedAtMs: openedAtMs!, declared: declared === 1 });
    }
    const run = new SourceRun(names.sources[i]!, epoch!, new SequenceWindow(highest, holes, lost));
    run.newestMs = newestMs!;
    run.heardMs = heardMs!;
    run.ended = ended === 1;
    runs.push(run);
  }
  return runs;
}
