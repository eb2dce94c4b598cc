/** Closed windows of telemetry, made by hand. */
import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import {
  type WindowClosed,
  WindowClosedSchema,
} from '../../../src/gen/homeostat/telemetry/v1/telemetry_events_pb.ts';
import { MetricKind } from '../../../src/gen/homeostat/telemetry/v1/telemetry_service_pb.ts';

export const WIDTH_MS = 10_000;
export const START_MS = Date.UTC(2026, 0, 1);
export const STREAM = { domain: 'lab', cluster: 'c1' };

/** What a node reported of a metric: a constant gauge over the window, unless said otherwise. */
export interface GivenReading {
  readonly mean: number;
  readonly integral?: number;
  readonly coveredSeconds?: number;
  readonly first?: number;
  readonly last?: number;
}

export interface GivenWindow {
  /** Number of the window: its start follows from it. */
  readonly at: number;
  readonly nodes: Readonly<Record<string, Readonly<Record<string, number | GivenReading>>>>;
  readonly metrics?: Readonly<Record<string, { readonly unit?: string; readonly kind?: MetricKind }>>;
  readonly cells?: Readonly<Record<string, readonly [number, number]>>;
  readonly stream?: { readonly domain: string; readonly cluster: string };
  readonly endOfInput?: boolean;
  readonly part?: number;
  readonly parts?: number;
}

export const startOf = (at: number) => START_MS + at * WIDTH_MS;

export function closedWindow(given: GivenWindow): WindowClosed {
  const names = [...new Set(Object.values(given.nodes).flatMap((node) => Object.keys(node)))].sort();
  const nodes = Object.keys(given.nodes).sort();
  const rows = nodes.flatMap((node, nodeIndex) =>
    Object.entries(given.nodes[node]!).map(([metric, reading]) => {
      const full = typeof reading === 'number' ? { mean: reading } : reading;
      const seconds = WIDTH_MS / 1000;
      return {
        nodeIndex,
        metricIndex: names.indexOf(metric),
        integral: full.mean * seconds,
        coveredSeconds: seconds,
        first: full.mean,
        last: full.mean,
        ...full,
      };
    }),
  );
  const column = (name: keyof (typeof rows)[number]) => rows.map((row) => row[name]!);
  return create(WindowClosedSchema, {
    stream: given.stream ?? STREAM,
    start: timestampFromMs(startOf(given.at)),
    end: timestampFromMs(startOf(given.at + 1)),
    part: given.part ?? 0,
    parts: given.parts ?? 1,
    nodes: nodes.map((name) => {
      const cell = given.cells?.[name];
      return { name, ...(cell && { cell: { row: cell[0], col: cell[1] } }) };
    }),
    metrics: names.map((name) => ({
      name,
      unit: given.metrics?.[name]?.unit ?? '1',
      kind: given.metrics?.[name]?.kind ?? MetricKind.GAUGE,
    })),
    summaries: {
      nodeIndex: column('nodeIndex'),
      metricIndex: column('metricIndex'),
      count: rows.map(() => 10),
      mean: column('mean'),
      integral: column('integral'),
      coveredSeconds: column('coveredSeconds'),
      min: column('mean'),
      max: column('mean'),
      first: column('first'),
      last: column('last'),
    },
    completeness: 1,
    endOfInput: given.endOfInput ?? false,
  });
}
