/** What several suites of this context share: its configuration, closed windows, and cells folded from them. */
import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import {
  type WindowClosed,
  WindowClosedSchema,
} from '../../src/gen/homeostat/telemetry/v1/telemetry_events_pb.ts';
import { MetricKind } from '../../src/gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import type { Cell, LookRules } from '../../src/resilience/cells/cell.ts';
import type { WindowPart } from '../../src/resilience/cells/window.ts';
import type { ResilienceConfig } from '../../src/resilience/context.ts';
import type { StatusName } from '../../src/resilience/defense/level.ts';
import { acceptPart, cellKey, type DefenseChange, judgeWindow } from '../../src/resilience/fleet.ts';

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
  gridMs: MINUTE_MS,
  lookMs: 15 * MINUTE_MS,
  denseLookMs: 5 * MINUTE_MS,
  surrogates: 199,
  alpha: 0.05,
  bandwidth: 0.2,
  rolling: 0.5,
  mapGraceMs: 1,
  phaseMayDeclareEmergency: false,
};

export interface WindowShape {
  readonly cluster?: string;
  /** Which window, from 0; each lasts a minute unless a width is given. */
  readonly index: number;
  /** What each node reported of `cpu`; nothing for a node that reported other metrics only. */
  readonly nodes: Readonly<Record<string, number | undefined>>;
  readonly part?: number;
  readonly parts?: number;
  readonly endOfInput?: boolean;
  readonly unit?: string;
  readonly kind?: MetricKind;
  /** Width of a window; window `index` begins `index` widths after 1970. */
  readonly widthMs?: number;
}

/** A closed window of the stream `fleet/c1`, its `cpu` in percent; every node also reports a `fan` speed. */
export function closedWindow(shape: WindowShape): WindowClosed {
  const widthMs = shape.widthMs ?? MINUTE_MS;
  const startMs = shape.index * widthMs;
  const nodes = Object.keys(shape.nodes);
  const window = create(WindowClosedSchema, {
    stream: { domain: 'fleet', cluster: shape.cluster ?? 'c1' },
    start: timestampFromMs(startMs),
    end: timestampFromMs(startMs + widthMs),
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
      columns.coveredSeconds.push(widthMs / 1000);
    }
  }
  return window;
}

/** Folds a part into cells without looks for early warnings; what came of the windows it completed. */
export function foldPart(
  cells: Map<string, Cell>,
  part: WindowPart,
  rules: LookRules,
): { readonly looks: readonly StatusName[]; readonly changes: readonly DefenseChange[] } {
  const looks: StatusName[] = [];
  const changes: DefenseChange[] = [];
  for (const window of acceptPart(cells, part) ?? []) {
    const judged = judgeWindow(cells, cellKey(part), window, rules);
    if (judged.found) looks.push(judged.found);
    changes.push(...judged.changes);
  }
  return { looks, changes };
}
