/** What several suites of this context share: its configuration, closed windows and what they are made of. */
import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import {
  type WindowClosed,
  WindowClosedSchema,
} from '../../src/gen/homeostat/telemetry/v1/telemetry_events_pb.ts';
import { MetricKind } from '../../src/gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import type { ResilienceConfig } from '../../src/resilience/context.ts';

export const MINUTE_MS = 60_000;

export const config: ResilienceConfig = {
  utilizationMetric: 'cpu',
  utilizationSpanMs: MINUTE_MS,
  evidenceMs: 10 * MINUTE_MS,
  utilizationWithoutPromise: 0.8,
  holdMs: 30 * MINUTE_MS,
  margin: 0.02,
  unknownLooksMax: 3,
  healthIntervalMs: 100,
  logRetentionMs: 90 * 24 * 60 * MINUTE_MS,
  pruneIntervalMs: 60 * MINUTE_MS,
};

export interface WindowShape {
  readonly cluster?: string;
  /** Which window, from 0; each lasts a minute. */
  readonly index: number;
  /** What each node reported of `cpu`; nothing for a node that reported other metrics only. */
  readonly nodes: Readonly<Record<string, number | undefined>>;
  readonly part?: number;
  readonly parts?: number;
  readonly endOfInput?: boolean;
  readonly unit?: string;
  readonly kind?: MetricKind;
}

/** A closed window of the stream `fleet/c1`, its `cpu` in percent; every node also reports a `fan` speed. */
export function closedWindow(shape: WindowShape): WindowClosed {
  const startMs = shape.index * MINUTE_MS;
  const nodes = Object.keys(shape.nodes);
  const window = create(WindowClosedSchema, {
    stream: { domain: 'fleet', cluster: shape.cluster ?? 'c1' },
    start: timestampFromMs(startMs),
    end: timestampFromMs(startMs + MINUTE_MS),
    part: shape.part ?? 0,
    parts: shape.parts ?? 1,
    nodes: nodes.map((name) => ({ name })),
    metrics: [
      { name: 'fan', unit: '1', kind: MetricKind.GAUGE },
      { name: 'cpu', unit: shape.unit ?? '%', kind: shape.kind ?? MetricKind.UNSPECIFIED },
    ],
    summaries: {},
    endOfInput: shape.endOfInput ?? false,
  });
  const columns = window.summaries!;
  for (const [index, node] of nodes.entries()) {
    const utilization = shape.nodes[node];
    const rows = [{ metric: 0, mean: 0.1 }];
    if (utilization !== undefined) rows.push({ metric: 1, mean: utilization * 100 });
    for (const { metric, mean } of rows) {
      columns.nodeIndex.push(index);
      columns.metricIndex.push(metric);
      columns.count.push(6);
      columns.mean.push(mean);
      columns.coveredSeconds.push(60);
    }
  }
  return window;
}
