/**
 * Windows as they come in: in parts, in order, possibly more than once. Puts the parts of a window together and drops
 * what is known already. Invariant: a cell's windows are handed on once each, in order of their start.
 */
import type { NodeReading } from './utilization.ts';

/** One part of a closed window, reduced to what is judged. */
export interface WindowPart {
  readonly domain: string;
  readonly cluster: string;
  /** Event time, half-open. */
  readonly startMs: number;
  readonly endMs: number;
  readonly part: number;
  readonly parts: number;
  /** The stream ends with this window. */
  readonly endOfInput: boolean;
  /** Nodes that reported anything in this part. */
  readonly nodes: number;
  readonly readings: readonly NodeReading[];
}

/** A window some parts of which have come. */
export interface OpenWindow {
  readonly startMs: number;
  readonly endMs: number;
  readonly parts: number;
  /** Parts that have come, in order of coming. */
  readonly seen: readonly number[];
  readonly endOfInput: boolean;
  readonly nodes: number;
  readonly readings: readonly NodeReading[];
}

/** What came of one part. */
export interface Assembly {
  /** A duplicate is known, or its window lies before one that was handed on. */
  readonly outcome: 'duplicate' | 'accepted';
  readonly open: OpenWindow | undefined;
  /** Windows to judge now. The first of two lacks parts: its successor began before they came. */
  readonly complete: readonly OpenWindow[];
}

/** Takes a part in. `lastStartMs` is the start of the window handed on last; all up to it are known. */
export function assemble(
  open: OpenWindow | undefined,
  part: WindowPart,
  lastStartMs: number | undefined,
): Assembly {
  const known = open?.startMs ?? lastStartMs;
  const sameWindow = open !== undefined && part.startMs === open.startMs;
  const duplicate = sameWindow ? open.seen.includes(part.part) : known !== undefined && part.startMs <= known;
  if (duplicate) return { outcome: 'duplicate', open, complete: [] };

  const begun = sameWindow ? open : undefined;
  const window: OpenWindow = {
    startMs: part.startMs,
    endMs: part.endMs,
    parts: part.parts,
    seen: [...(begun?.seen ?? []), part.part],
    endOfInput: part.endOfInput || (begun?.endOfInput ?? false),
    nodes: part.nodes + (begun?.nodes ?? 0),
    readings: begun ? [...begun.readings, ...part.readings] : part.readings,
  };
  const complete = open !== undefined && !sameWindow ? [open] : [];
  return window.seen.length < part.parts
    ? { outcome: 'accepted', open: window, complete }
    : { outcome: 'accepted', open: undefined, complete: [...complete, window] };
}
