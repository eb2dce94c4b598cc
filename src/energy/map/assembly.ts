/**
 * Parts become windows. A window is whole when all its parts are there, or when a later window begins, since the parts
 * of a stream come in order: what is missing by then will not come. A part that is known, or whose window has been
 * handed on, is a duplicate. Holds at most one unfinished window.
 */
import { timestampMs } from '@bufbuild/protobuf/wkt';
import type { WindowClosed } from '../../gen/homeostat/telemetry/v1/telemetry_events_pb.ts';

export interface Offered {
  /** False for a duplicate, which changes nothing. */
  readonly accepted: boolean;
  /** Windows now ready, in order, each as its parts in order. */
  readonly ready: readonly (readonly WindowClosed[])[];
  /** Windows among them that were handed on with parts missing. */
  readonly incomplete: number;
}

export interface Assembly {
  offer(part: WindowClosed): Offered;
  /** Start of the last window handed on; -Infinity before the first. */
  throughMs(): number;
  /** Parts of the unfinished window. */
  unfinished(): readonly WindowClosed[];
}

/** `throughMs`: start of the last window handed on before. */
export function createAssembly(throughMs: number): Assembly {
  let through = throughMs;
  let open: { readonly startMs: number; readonly parts: Map<number, WindowClosed> } | undefined;

  const handOn = (): WindowClosed[] => {
    const parts = [...open!.parts.values()].sort((a, b) => a.part - b.part);
    through = open!.startMs;
    open = undefined;
    return parts;
  };
  return {
    offer(part) {
      const startMs = timestampMs(part.start!);
      const known = startMs === open?.startMs && open.parts.has(part.part);
      if (known || startMs <= through || (open && startMs < open.startMs))
        return { accepted: false, ready: [], incomplete: 0 };
      const ready: WindowClosed[][] = [];
      const superseded = open !== undefined && open.startMs < startMs;
      if (superseded) ready.push(handOn());
      open ??= { startMs, parts: new Map() };
      open.parts.set(part.part, part);
      if (open.parts.size >= part.parts) ready.push(handOn());
      return { accepted: true, ready, incomplete: superseded ? 1 : 0 };
    },
    throughMs: () => through,
    unfinished: () => (open ? [...open.parts.values()] : []),
  };
}
