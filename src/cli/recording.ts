/**
 * A recording: what the rows of a CSV file mean. Wide files have a time column and one column per metric; long ones
 * name their metric and value columns. Rows are handed on grouped by instant, in the order of the file. Nothing is
 * dropped silently: what is not handed on is counted, with the lines of the first faults.
 */
import type { CsvFile } from './csv.ts';
import { unusable } from './failure.ts';
import { NODE, parseInstantMs } from './values.ts';

/** Which columns mean what. */
export interface RecordingColumns {
  /** Default: the first of the usual names, else the first column. */
  readonly time?: string | undefined;
  /** Default none: every sample is of `node`. */
  readonly node?: string | undefined;
  /** With `value`: the long form. */
  readonly metric?: string | undefined;
  readonly value?: string | undefined;
}

export interface RecordingOptions {
  readonly columns: RecordingColumns;
  /** Node of samples whose row names none. */
  readonly node: string;
  /** What numeric times count from, milliseconds since 1970. */
  readonly startMs: number;
}

export interface RecordingCounts {
  /** Rows below the header, empty lines left out. */
  rows: number;
  /** Values handed on. */
  samples: number;
  /** Fields without a value. */
  emptyValues: number;
  /** Rows of which something could not be read; readable values of them are handed on all the same. */
  unparsableRows: number;
  /** Lines of the first of them, at most 20. */
  unparsableLines: number[];
  /** Rows whose time lies before the row above. */
  stepsBack: number;
  /** Rows that bring a series a second value at the same time. */
  repeatedTimestamps: number;
  /** Steps of time over 3 times the usual one: their exponential mean of weight 1/8, gaps left out. */
  gaps: number;
}

/** Values of one node at one instant. */
export interface NodeReadings {
  /** Indices into the recording's metrics; a repeated timestamp names a metric twice. */
  readonly metrics: number[];
  readonly values: number[];
}

/** Successive rows of one time. */
export interface Instant {
  readonly timeMs: number;
  readonly nodes: ReadonlyMap<string, NodeReadings>;
}

export interface Recording {
  /** Names of the metrics seen so far. */
  readonly metrics: readonly string[];
  /** Still growing while `instants` is read. */
  readonly counts: Readonly<RecordingCounts>;
  instants(): AsyncGenerator<Instant, void, undefined>;
}

const TIME_NAMES = ['timestamp', 'time', 'ts', 't', 't_s', 'datetime', 'date', 'epoch', 'seconds'];
const METRIC_NAME_LENGTH_MAX = 128;
const UNPARSABLE_LINES_MAX = 20;
/** An instant is handed on in pieces of at most this many values. */
const INSTANT_VALUES_MAX = 65_536;
const USUAL_WEIGHT = 1 / 8;
const GAP_STEPS = 3;

/** Finds the columns. Throws a CliFailure that names a missing one and those there are. */
export function openRecording(file: CsvFile, options: RecordingOptions): Recording {
  const layout = findColumns(file.header, options.columns);
  const counts = newCounts();
  const reader = new RowReader(file.header, layout, options.node, counts);
  const steps = createStepCounter(counts);
  const blame = (line: number) => {
    counts.unparsableRows++;
    if (counts.unparsableLines.length < UNPARSABLE_LINES_MAX) counts.unparsableLines.push(line);
  };
  return {
    metrics: reader.metrics,
    counts,
    async *instants() {
      let timeMs = Number.NaN;
      for await (const row of file.rows()) {
        counts.rows++;
        const rowMs = parseInstantMs(row[layout.time]?.trim() ?? '', options.startMs);
        if (Number.isNaN(rowMs)) {
          blame(file.line());
          continue;
        }
        if (rowMs !== timeMs || reader.held >= INSTANT_VALUES_MAX) {
          if (reader.held > 0) yield { timeMs, nodes: reader.release() };
          steps.step(rowMs);
          timeMs = rowMs;
        }
        if (!reader.read(row)) blame(file.line());
      }
      if (reader.held > 0) yield { timeMs, nodes: reader.release() };
      for (const line of file.brokenLines) blame(line);
    },
  };
}

/** Gathers the values of rows of one time. Invariant: `held` is the number of values in `nodes`. */
class RowReader {
  /** Names of the metrics, by index. */
  readonly metrics: string[];
  held = 0;
  private nodes = new Map<string, NodeReadings>();
  private readonly metricIndex: Map<string, number>;
  private readonly columnCount: number;
  private readonly layout: Layout;
  private readonly defaultNode: string;
  private readonly counts: RecordingCounts;

  constructor(header: readonly string[], layout: Layout, defaultNode: string, counts: RecordingCounts) {
    this.metrics = layout.wide.map((column) => header[column]!);
    this.metricIndex = new Map(this.metrics.map((name, index) => [name, index]));
    this.columnCount = header.length;
    this.layout = layout;
    this.defaultNode = defaultNode;
    this.counts = counts;
  }

  /** Reads one row; false when something in it cannot be read. */
  read(row: readonly string[]): boolean {
    const { layout } = this;
    const node = (layout.node === undefined ? '' : row[layout.node]?.trim()) || this.defaultNode;
    if (!NODE.test(node)) return false;
    const before = this.counts.repeatedTimestamps;
    let readable = true;
    if (layout.long) {
      const name = row[layout.long.metric]?.trim();
      if (!name || name.length > METRIC_NAME_LENGTH_MAX) return false;
      readable = this.take(node, this.indexOf(name), row[layout.long.value]);
    } else {
      for (let i = 0; i < layout.wide.length; i++) {
        if (!this.take(node, i, row[layout.wide[i]!])) readable = false;
      }
      if (row.length > this.columnCount) readable = false;
    }
    if (this.counts.repeatedTimestamps > before) this.counts.repeatedTimestamps = before + 1;
    return readable;
  }

  /** Hands over what was gathered. */
  release(): ReadonlyMap<string, NodeReadings> {
    const { nodes } = this;
    this.nodes = new Map();
    this.held = 0;
    return nodes;
  }

  /** Keeps one value; false when it cannot be read. */
  private take(node: string, metric: number, text: string | undefined): boolean {
    const value = parseValue(text);
    if (value === 'unreadable') return false;
    if (value === undefined) {
      this.counts.emptyValues++;
      return true;
    }
    let readings = this.nodes.get(node);
    if (!readings) {
      readings = { metrics: [], values: [] };
      this.nodes.set(node, readings);
    }
    if (readings.metrics.includes(metric)) this.counts.repeatedTimestamps++;
    readings.metrics.push(metric);
    readings.values.push(value);
    this.counts.samples++;
    this.held++;
    return true;
  }

  private indexOf(name: string): number {
    let index = this.metricIndex.get(name);
    if (index === undefined) {
      index = this.metrics.push(name) - 1;
      this.metricIndex.set(name, index);
    }
    return index;
  }
}

interface Layout {
  readonly time: number;
  readonly node: number | undefined;
  /** Columns of the long form. */
  readonly long: { readonly metric: number; readonly value: number } | undefined;
  /** Metric columns of the wide form; none in the long form. */
  readonly wide: readonly number[];
}

function findColumns(header: readonly string[], columns: RecordingColumns): Layout {
  const find = (name: string | undefined, option: string): number | undefined => {
    if (name === undefined) return undefined;
    const at = header.indexOf(name);
    if (at < 0) throw unusable(`--${option}: the file has no column "${name}"; it has ${header.join(', ')}`);
    return at;
  };
  if ((columns.metric === undefined) !== (columns.value === undefined))
    throw unusable('--metric-column and --value-column go together');
  const usual = header.findIndex((name) => TIME_NAMES.includes(name.toLowerCase()));
  const time = find(columns.time, 'time-column') ?? Math.max(0, usual);
  const node = find(columns.node, 'node-column');
  const metric = find(columns.metric, 'metric-column');
  const value = find(columns.value, 'value-column');
  if (metric !== undefined && value !== undefined) return { time, node, long: { metric, value }, wide: [] };
  return { time, node, long: undefined, wide: wideColumns(header, time, node) };
}

function wideColumns(header: readonly string[], time: number, node: number | undefined): number[] {
  const wide = header.map((_, i) => i).filter((i) => i !== time && i !== node);
  if (wide.length === 0) throw unusable(`the file has no metric column beside ${header.join(', ')}`);
  const names = wide.map((column) => header[column]!);
  const bad = names.find((name) => name === '' || name.length > METRIC_NAME_LENGTH_MAX);
  if (bad !== undefined) throw unusable(`the file has a metric column whose name is empty or too long`);
  if (new Set(names).size < names.length) throw unusable('the file has two columns of one name');
  return wide;
}

/** Undefined for an empty field. NaN and infinities are values: the server rejects and counts them. */
function parseValue(text: string | undefined): number | 'unreadable' | undefined {
  if (text === undefined || text === '') return undefined;
  const value = Number(text);
  if (!Number.isNaN(value)) return text.trim() === '' ? undefined : value;
  const word = text.trim().toLowerCase();
  if (/^[+-]?nan$/.test(word)) return Number.NaN;
  const infinite = /^([+-]?)inf(?:inity)?$/.exec(word);
  if (!infinite) return 'unreadable';
  return infinite[1] === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
}

function newCounts(): RecordingCounts {
  return {
    rows: 0,
    samples: 0,
    emptyValues: 0,
    unparsableRows: 0,
    unparsableLines: [],
    stepsBack: 0,
    repeatedTimestamps: 0,
    gaps: 0,
  };
}

/** Counts steps back and gaps from the times of successive instants. */
function createStepCounter(counts: RecordingCounts) {
  let lastMs: number | undefined;
  let usualMs: number | undefined;
  return {
    step(timeMs: number): void {
      const stepMs = lastMs === undefined ? 0 : timeMs - lastMs;
      lastMs = timeMs;
      if (stepMs < 0) counts.stepsBack++;
      if (stepMs <= 0) return;
      if (usualMs === undefined) usualMs = stepMs;
      else if (stepMs > GAP_STEPS * usualMs) counts.gaps++;
      else usualMs += USUAL_WEIGHT * (stepMs - usualMs);
    },
  };
}
