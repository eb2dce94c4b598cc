import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  GAP_AFTER_MS,
  SEQUENCE_AHEAD,
  SEQUENCE_DUPLICATE,
  SEQUENCE_NEW,
  SEQUENCE_TOO_OLD,
  SEQUENCES_REMEMBERED,
  SequenceWindow,
} from '../../src/telemetry/source/sequence.ts';
import { RUNS_MAX, SourceRegistry } from '../../src/telemetry/source/source.ts';

const noGaps = () => ({ open: 0, missing: 0, closed: 0 });

describe('the sequence numbers of a source', () => {
  test('judge like a bitmap of the last 4,096 numbers', () => {
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.integer({ min: -30, max: 3 }) },
      { weight: 1, arbitrary: fc.integer({ min: -5000, max: 3000 }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const window = new SequenceWindow();
        const gaps = noGaps();
        const seen = new Set<number>();
        let highest = 0;
        for (const delta of steps) {
          const sequence = Math.max(1, highest + delta);
          const verdict = window.take(sequence, gaps);
          if (verdict === SEQUENCE_AHEAD) window.holeOpened(0);
          if (sequence <= highest - SEQUENCES_REMEMBERED) expect(verdict).toBe(SEQUENCE_TOO_OLD);
          else if (seen.has(sequence)) expect(verdict).toBe(SEQUENCE_DUPLICATE);
          else expect([SEQUENCE_NEW, SEQUENCE_AHEAD]).toContain(verdict);
          if (verdict !== SEQUENCE_TOO_OLD) seen.add(sequence);
          highest = Math.max(highest, sequence);
        }
        let missing = 0;
        for (let sequence = 1; sequence <= highest; sequence++) if (!seen.has(sequence)) missing++;
        expect(window.missing()).toBe(missing);
        expect(window.highest).toBe(highest);
      }),
    );
  });

  test('count each missing number in exactly one gap until a late filler comes', () => {
    const window = new SequenceWindow();
    const gaps = noGaps();
    expect(window.take(1, gaps)).toBe(SEQUENCE_NEW);
    expect(window.take(10, gaps)).toBe(SEQUENCE_AHEAD);
    expect(window.holeOpened(1000)).toBe(1000 + GAP_AFTER_MS);
    expect(window.declare(1000 + GAP_AFTER_MS - 1, gaps)).toEqual([]);
    expect(window.declare(1000 + GAP_AFTER_MS, gaps)).toMatchObject([{ first: 2, last: 9 }]);
    expect(window.declare(10 * GAP_AFTER_MS, gaps)).toEqual([]);
    expect(gaps).toEqual({ open: 1, missing: 8, closed: 0 });
    window.take(5, gaps); // Splits the gap in two.
    expect(gaps).toEqual({ open: 2, missing: 7, closed: 0 });
    for (const sequence of [2, 3, 4]) window.take(sequence, gaps);
    expect(gaps).toEqual({ open: 1, missing: 4, closed: 1 });
    for (const sequence of [9, 8, 6, 7]) window.take(sequence, gaps);
    expect(gaps).toEqual({ open: 0, missing: 0, closed: 2 });
    expect(window.holes).toEqual([]);
  });

  test('a hole filled in time is no gap', () => {
    const window = new SequenceWindow();
    const gaps = noGaps();
    window.take(2, gaps);
    window.holeOpened(0);
    window.take(1, gaps);
    expect(window.declare(Number.POSITIVE_INFINITY, gaps)).toEqual([]);
    expect(gaps).toEqual(noGaps());
  });

  test('a gap that can no longer be filled is dropped and stays counted', () => {
    const window = new SequenceWindow();
    const gaps = noGaps();
    window.take(3, gaps);
    window.holeOpened(0);
    window.declare(GAP_AFTER_MS, gaps);
    for (let sequence = 4; sequence <= SEQUENCES_REMEMBERED + 3; sequence++) window.take(sequence, gaps);
    window.declare(GAP_AFTER_MS, gaps);
    expect(window.holes).toEqual([]);
    expect(window.missing()).toBe(2);
    expect(gaps).toEqual({ open: 1, missing: 2, closed: 0 });
    expect(window.take(2, gaps)).toBe(SEQUENCE_TOO_OLD);
  });

  test('more holes than can be remembered are called gaps at once', () => {
    const window = new SequenceWindow();
    const gaps = noGaps();
    let due = Number.POSITIVE_INFINITY;
    for (let i = 1; i <= 5000; i++) {
      window.take(2 * i, gaps);
      due = Math.min(due, window.holeOpened(0));
      if (due === Number.NEGATIVE_INFINITY) {
        window.declare(0, gaps);
        due = Number.POSITIVE_INFINITY;
      }
    }
    expect(window.holes.length).toBeLessThanOrEqual(4096);
    expect(window.missing()).toBe(5000);
    expect(gaps.missing).toBe(5000 - window.holes.filter((hole) => !hole.declared).length);
  });

  test('a number far ahead leaves one hole', () => {
    const window = new SequenceWindow();
    const gaps = noGaps();
    window.take(1_000_000, gaps);
    window.holeOpened(0);
    expect(window.holes).toHaveLength(1);
    expect(window.missing()).toBe(999_999);
    expect(window.take(999_999, gaps)).toBe(SEQUENCE_NEW);
    expect(window.take(1, gaps)).toBe(SEQUENCE_TOO_OLD);
  });
});

test('a producer that makes up sources is held to a bound, the longest silent forgotten first', () => {
  const forgotten: string[] = [];
  const registry = new SourceRegistry((run) => forgotten.push(run.sourceId));
  for (let i = 0; i <= RUNS_MAX; i++) {
    const run = registry.run(`source-${i}`, 1, true)!;
    run.heardMs = i;
  }
  expect(registry.runs.length).toBe(RUNS_MAX + 1 - RUNS_MAX / 4);
  expect(forgotten).toHaveLength(RUNS_MAX / 4);
  expect(forgotten[0]).toBe('source-0');
  expect(registry.find('source-0', 1)).toBeUndefined();
  expect(registry.find(`source-${RUNS_MAX}`, 1)).toBeDefined();
});
