/**
 * What the fold decided, as events: closed windows in parts of bounded size, and gaps. The keys name the event, not
 * the occasion, so that a repeat after a crash is the same event.
 */
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { Bus } from '../bus/bus.ts';
import { topics } from '../bus/topics.ts';
import {
  type SequenceGapDetected,
  SequenceGapDetectedSchema,
  type SeriesSummariesSchema,
  type WindowClosed,
  WindowClosedSchema,
} from '../gen/homeostat/telemetry/v1/telemetry_events_pb.ts';
import type { Tx } from '../store/store.ts';
import type { GapFound } from './fold/stream.ts';
import { countsToProto } from './report.ts';
import {
  type ClosedWindow,
  SUMMARY,
  SUMMARY_COUNT,
  SUMMARY_COVERED_SECONDS,
  SUMMARY_FIRST,
  SUMMARY_INTEGRAL,
  SUMMARY_LAST,
  SUMMARY_MAX,
  SUMMARY_MEAN,
  SUMMARY_METRIC,
  SUMMARY_MIN,
  SUMMARY_NODE,
} from './window/closing.ts';

/** Most bytes of one part; half of what a broker takes by default. */
export const PART_BYTES_MAX = 512 * 1024;

/** Bytes of a summary on the wire, at most: seven doubles, a count and two indices, with room for lengths. */
const SUMMARY_BYTES = 7 * 8 + 5 + 2 * 3;
/** Bytes of a node beside its name, at most. */
const NODE_BYTES = 24;
/** Bytes of the rest of a part, counters included, at most. */
const FRAME_BYTES = 1024;

interface StreamName {
  readonly domain: string;
  readonly cluster: string;
}

/** A closed window as the messages that go out, at least one. */
export function windowParts(stream: StreamName, window: ClosedWindow): readonly WindowClosed[] {
  const cuts = cutRows(window);
  return cuts.map(([from, to], part) => {
    const firstNode = from < to ? window.summaries[from * SUMMARY + SUMMARY_NODE]! : 0;
    const lastNode = from < to ? window.summaries[(to - 1) * SUMMARY + SUMMARY_NODE]! : -1;
    return create(WindowClosedSchema, {
      stream,
      start: timestampFromMs(window.startMs),
      end: timestampFromMs(window.endMs),
      part,
      parts: cuts.length,
      nodes: window.nodes
        .slice(firstNode, lastNode + 1)
        .map(({ name, row, col }) => (row < 0 ? { name } : { name, cell: { row, col } })),
      metrics: window.metrics.map(({ name, unit, kind }) => ({ name, unit, kind })),
      summaries: columns(window.summaries, from, to, firstNode),
      samples: countsToProto(window.samples),
      completeness: window.completeness,
      brokerSequence: BigInt(window.brokerSequence),
      endOfInput: window.endOfInput,
    });
  });
}

/** Records the events of one part of a window inside the caller's transaction. */
export function recordWindow(bus: Bus, tx: Tx, message: WindowClosed, startMs: number): Promise<void> {
  const { domain, cluster } = message.stream!;
  return bus.record(tx, topics.windowClosed, `${domain}.${cluster}.${startMs}.${message.part}`, message);
}

/** Records a gap inside the caller's transaction. */
export function recordGap(bus: Bus, tx: Tx, stream: StreamName, gap: GapFound): Promise<void> {
  const { domain, cluster } = stream;
  const key = `${domain}.${cluster}.${gap.epoch}.${gap.first}.${gap.sourceId}`;
  return bus.record(tx, topics.sequenceGapDetected, key, gapMessage(stream, gap));
}

function gapMessage(stream: StreamName, gap: GapFound): SequenceGapDetected {
  return create(SequenceGapDetectedSchema, {
    stream,
    sourceId: gap.sourceId,
    epoch: gap.epoch,
    firstMissing: gap.first,
    lastMissing: gap.last,
    detectedAt: timestampFromMs(gap.detectedAtMs),
  });
}

/** Spans of summary rows that fit into a part each; between nodes where a node fits into one. */
function cutRows(window: ClosedWindow): [from: number, to: number][] {
  const { summaries, nodes, metrics } = window;
  const rowCount = summaries.length / SUMMARY;
  let fixed = FRAME_BYTES;
  for (const { name, unit } of metrics) fixed += Buffer.byteLength(name) + Buffer.byteLength(unit) + 16;
  const room = PART_BYTES_MAX - fixed;
  const cuts: [number, number][] = [];
  let from = 0;
  let bytes = 0;
  for (let row = 0; row < rowCount; ) {
    const node = summaries[row * SUMMARY + SUMMARY_NODE]!;
    let end = row;
    while (end < rowCount && summaries[end * SUMMARY + SUMMARY_NODE] === node) end++;
    const head = nodes[node]!.name.length + NODE_BYTES;
    if (row > from && bytes + head + (end - row) * SUMMARY_BYTES > room) {
      cuts.push([from, row]);
      from = row;
      bytes = 0;
    }
    bytes += head;
    for (; row < end; row++) {
      if (bytes + SUMMARY_BYTES > room && row > from) {
        cuts.push([from, row]);
        from = row;
        bytes = head;
      }
      bytes += SUMMARY_BYTES;
    }
  }
  cuts.push([from, rowCount]);
  return cuts;
}

function columns(
  summaries: Float64Array,
  from: number,
  to: number,
  firstNode: number,
): MessageInitShape<typeof SeriesSummariesSchema> {
  const column = (field: number): number[] => {
    const values = new Array<number>(to - from);
    for (let row = from; row < to; row++) values[row - from] = summaries[row * SUMMARY + field]!;
    return values;
  };
  return {
    nodeIndex: column(SUMMARY_NODE).map((node) => node - firstNode),
    metricIndex: column(SUMMARY_METRIC),
    count: column(SUMMARY_COUNT),
    mean: column(SUMMARY_MEAN),
    integral: column(SUMMARY_INTEGRAL),
    coveredSeconds: column(SUMMARY_COVERED_SECONDS),
    min: column(SUMMARY_MIN),
    max: column(SUMMARY_MAX),
    first: column(SUMMARY_FIRST),
    last: column(SUMMARY_LAST),
  };
}
