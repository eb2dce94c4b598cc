/** Utilization of a cell from what its nodes report, and what silence makes of it. */
import { describe, expect, test } from '@jest/globals';
import {
  type CellMemory,
  type NodeReading,
  remember,
  utilizationOf,
} from '../../../src/resilience/cells/utilization.ts';

const SECOND_MS = 1000;
const rules = { utilizationSpanMs: 60 * SECOND_MS, evidenceMs: 600 * SECOND_MS };

function reading(node: string, mean: number, coveredSeconds = 10): NodeReading {
  return { node, mean, coveredSeconds };
}

/** Memory after windows given as [end in seconds, readings]. */
function memoryAfter(...windows: readonly (readonly [number, readonly NodeReading[]])[]): CellMemory {
  let memory: CellMemory = new Map();
  for (const [endSeconds, readings] of windows)
    memory = remember(memory, endSeconds * SECOND_MS, readings, rules);
  return memory;
}

function utilizationAt(seconds: number, memory: CellMemory) {
  return utilizationOf(memory, seconds * SECOND_MS, true);
}

describe('the mean', () => {
  test('weighs each node alike, however often it reports', () => {
    const memory = memoryAfter([10, [reading('a', 0.2)]], [20, [reading('a', 0.4), reading('b', 0.9)]]);
    expect(utilizationAt(20, memory)).toEqual({ status: 'OK', value: expect.closeTo((0.3 + 0.9) / 2, 12) });
  });

  test('weighs the windows of a node by the seconds they cover', () => {
    const memory = memoryAfter([10, [reading('a', 0.2, 9)]], [20, [reading('a', 0.8, 3)]]);
    expect(utilizationAt(20, memory).value).toBeCloseTo((0.2 * 9 + 0.8 * 3) / 12, 12);
  });

  test('is plain where nothing is covered', () => {
    const memory = memoryAfter([10, [reading('a', 0.2, 0)]], [20, [reading('a', 0.6, 0)]]);
    expect(utilizationAt(20, memory).value).toBeCloseTo(0.4, 12);
  });

  test('reaches back exactly the span', () => {
    const memory = memoryAfter([10, [reading('a', 1)]], [20, [reading('a', 0)]], [70, [reading('a', 0)]]);
    expect(utilizationAt(70, memory).value).toBe(0);
    expect(memory.get('a')!.recent.map(({ endMs }) => endMs / SECOND_MS)).toEqual([20, 70]);
  });

  test('of a window longer than the span is that window alone', () => {
    const memory = memoryAfter([3600, [reading('a', 0.5, 3600)]], [7200, [reading('a', 0.7, 3600)]]);
    expect(utilizationAt(7200, memory).value).toBe(0.7);
  });
});

describe('silence', () => {
  const everyTenSeconds = (nodes: readonly string[]) =>
    [10, 20, 30, 40, 50, 60].map((end) => [end, nodes.map((node) => reading(node, 0.9))] as const);

  test('a metric never reported is not configured', () => {
    expect(utilizationOf(new Map(), 0, false).status).toBe('NOT_CONFIGURED');
  });

  test('a metric nobody reported lately is unknown', () => {
    const memory = memoryAfter(...everyTenSeconds(['a']), [130, []]);
    expect(utilizationAt(130, memory)).toMatchObject({ status: 'UNKNOWN', why: expect.any(String) });
  });

  test('a silent minority is left out of the mean', () => {
    const memory = memoryAfter(...everyTenSeconds(['a', 'b']), [130, [reading('a', 0.3)]]);
    expect(utilizationAt(130, memory)).toEqual({ status: 'OK', value: 0.3 });
  });

  test('a silent majority makes utilization unknown, though the survivors are calm', () => {
    const memory = memoryAfter(...everyTenSeconds(['a', 'b', 'c']), [130, [reading('a', 0.3)]]);
    expect(utilizationAt(130, memory)).toEqual({
      status: 'UNKNOWN',
      why: '2 nodes fell silent, 1 report',
    });
  });

  test('a node unheard for the evidence period has left', () => {
    const gone = memoryAfter(...everyTenSeconds(['a', 'b', 'c']), [660, [reading('a', 0.3)]]);
    expect(utilizationAt(660, gone).status).toBe('UNKNOWN');
    const forgotten = remember(gone, 670 * SECOND_MS, [reading('a', 0.3)], rules);
    expect(utilizationAt(670, forgotten)).toEqual({ status: 'OK', value: 0.3 });
  });

  test('nodes that report every five minutes in turn are not taken for silent', () => {
    const turns = Array.from(
      { length: 20 },
      (_, i) => [(i + 1) * 60, [reading(`n${i % 5}`, i % 5)]] as const,
    );
    expect(utilizationAt(20 * 60, memoryAfter(...turns))).toEqual({ status: 'OK', value: 4 });
  });
});
