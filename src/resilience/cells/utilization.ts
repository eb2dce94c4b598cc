/**
 * Utilization of one cell: the mean, over the nodes heard in the last minute of event time, of what each reported of
 * one metric. Immutable values; times are event time in milliseconds, utilization has unit 1.
 *
 * A node is silent once nothing was heard of it for longer than that minute and longer than three times its last
 * interval. Silent nodes count in no mean, and while they outnumber the nodes heard, utilization is UNKNOWN: the mean
 * of the survivors of an overloaded cell would look calm. A node unheard for the evidence period has left.
 */
import type { Figure } from '../defense/level.ts';

/** How far observations reach, event time in milliseconds. */
export interface UtilizationRules {
  /** How far back the mean reaches. */
  readonly utilizationSpanMs: number;
  /** How long an observation is evidence of anything; at least the span. */
  readonly evidenceMs: number;
}

/** What one node reported in one window. */
export interface NodeReading {
  readonly node: string;
  /** Mean over the window, unit 1. */
  readonly mean: number;
  /** Seconds of the window its samples cover; its weight. */
  readonly coveredSeconds: number;
}

/** What is remembered of a node. */
export interface NodeMemory {
  /** End of the last window that heard it. */
  readonly lastMs: number;
  /** From the window before to the last one; 0 for a node heard once. */
  readonly intervalMs: number;
  /** Readings that end within the span, oldest first. */
  readonly recent: readonly {
    readonly endMs: number;
    readonly mean: number;
    readonly coveredSeconds: number;
  }[];
}

/** The nodes of a cell, in the order they were first heard. */
export type CellMemory = ReadonlyMap<string, NodeMemory>;

/** Intervals of its own after which a node is silent. */
const SILENT_INTERVALS = 3;

/** The memory after a window that ends at `endMs`; nodes that have left are dropped. O(nodes). */
export function remember(
  memory: CellMemory,
  endMs: number,
  readings: readonly NodeReading[],
  rules: UtilizationRules,
): CellMemory {
  const after = new Map<string, NodeMemory>();
  for (const [node, known] of memory) {
    if (endMs - known.lastMs > rules.evidenceMs) continue;
    const recent = known.recent.filter((reading) => reading.endMs > endMs - rules.utilizationSpanMs);
    after.set(node, recent.length === known.recent.length ? known : { ...known, recent });
  }
  for (const { node, mean, coveredSeconds } of readings) {
    const known = after.get(node);
    after.set(node, {
      lastMs: endMs,
      intervalMs: known ? endMs - known.lastMs : 0,
      recent: [...(known?.recent ?? []), { endMs, mean, coveredSeconds }],
    });
  }
  return after;
}

/** Utilization at the end of the window remembered last; `everReported` tells UNKNOWN from NOT_CONFIGURED. O(nodes). */
export function utilizationOf(memory: CellMemory, atMs: number, everReported: boolean): Figure {
  if (!everReported) return { status: 'NOT_CONFIGURED', why: 'no node ever reported it' };
  let heard = 0;
  let silent = 0;
  let sum = 0;
  for (const node of memory.values()) {
    if (node.recent.length > 0) {
      heard += 1;
      sum += meanOf(node.recent);
    } else if (atMs - node.lastMs > SILENT_INTERVALS * node.intervalMs) silent += 1;
  }
  if (heard === 0) return { status: 'UNKNOWN', why: 'no node reported it lately' };
  if (silent > heard) return { status: 'UNKNOWN', why: `${silent} nodes fell silent, ${heard} report` };
  return { status: 'OK', value: sum / heard };
}

/** Mean weighted by covered seconds; plain where nothing is covered (samples too far apart to span any time). */
function meanOf(readings: NodeMemory['recent']): number {
  let weight = 0;
  let weighted = 0;
  let plain = 0;
  for (const { mean, coveredSeconds } of readings) {
    weight += coveredSeconds;
    weighted += mean * coveredSeconds;
    plain += mean;
  }
  return weight > 0 ? weighted / weight : plain / readings.length;
}
