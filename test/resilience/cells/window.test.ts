/** Windows from parts: each once, in order, whatever is repeated. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { assemble, type OpenWindow, type WindowPart } from '../../../src/resilience/cells/window.ts';

function part(startMs: number, index: number, parts: number, endOfInput = false): WindowPart {
  return {
    domain: 'fleet',
    cluster: 'c1',
    startMs,
    endMs: startMs + 10,
    part: index,
    parts,
    endOfInput,
    nodes: 1,
    readings: [{ node: `n${index}`, mean: 0.5, coveredSeconds: 10 }],
  };
}

/** Feeds parts in; the windows handed on, and how many parts were known. */
function feed(parts: readonly WindowPart[]): { windows: OpenWindow[]; duplicates: number } {
  let open: OpenWindow | undefined;
  let lastStartMs: number | undefined;
  let duplicates = 0;
  const windows: OpenWindow[] = [];
  for (const one of parts) {
    const assembly = assemble(open, one, lastStartMs);
    open = assembly.open;
    if (assembly.outcome === 'duplicate') duplicates += 1;
    for (const window of assembly.complete) {
      windows.push(window);
      lastStartMs = window.startMs;
    }
  }
  return { windows, duplicates };
}

describe('parts', () => {
  test('a window is handed on when its last part has come', () => {
    const { windows } = feed([part(0, 0, 3), part(0, 1, 3), part(0, 2, 3), part(10, 0, 2)]);
    expect(windows).toHaveLength(1);
    expect(windows[0]).toMatchObject({ startMs: 0, nodes: 3, seen: [0, 1, 2], endOfInput: false });
    expect(windows[0]!.readings.map(({ node }) => node)).toEqual(['n0', 'n1', 'n2']);
  });

  test('a window whose parts are lost is handed on before its successor', () => {
    const { windows } = feed([part(0, 0, 2), part(10, 0, 1)]);
    expect(windows.map(({ startMs, seen, parts }) => [startMs, seen.length, parts])).toEqual([
      [0, 1, 2],
      [10, 1, 1],
    ]);
  });

  test('the end of input may be told by any part', () => {
    const { windows } = feed([part(0, 0, 2, true), part(0, 1, 2)]);
    expect(windows[0]!.endOfInput).toBe(true);
  });

  test('repeating any stretch of the stream changes nothing', () => {
    const stream = [0, 10, 20, 30].flatMap((startMs) => [0, 1, 2].map((index) => part(startMs, index, 3)));
    const stretch = fc.record({ from: fc.nat(11), length: fc.nat(11), at: fc.nat(11) });
    fc.assert(
      fc.property(stretch, ({ from, length, at }) => {
        const place = Math.max(at, Math.min(11, from + length));
        const repeated = stream.slice(from, Math.min(place, from + length) + 1);
        const { windows, duplicates } = feed([
          ...stream.slice(0, place + 1),
          ...repeated,
          ...stream.slice(place + 1),
        ]);
        expect(windows).toEqual(feed(stream).windows);
        expect(duplicates).toBe(repeated.length);
      }),
    );
  });
});
