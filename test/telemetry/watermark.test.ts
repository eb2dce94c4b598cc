import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { SILENCE_SOURCE } from '../../src/telemetry/fold/fold.ts';
import { SILENCE_NODE } from '../../src/telemetry/silence.ts';
import { type Progress, Watermark } from '../../src/telemetry/window/watermark.ts';
import { createHarness, encodeBatch, START_MS, subjectOf } from './messages.ts';

const seconds = (ms: number) => (ms - START_MS) / 1000;

describe('the watermark', () => {
  test('passes a boundary exactly when the least newest time of the live sources, less lateness, does', () => {
    const move = fc.tuple(fc.nat(5), fc.integer({ min: -3_000, max: 30_000 }), fc.boolean());
    fc.assert(
      fc.property(
        fc.array(move, { maxLength: 200 }),
        fc.integer({ min: 0, max: 20_000 }),
        (moves, latenessMs) => {
          const sources: Progress[] = [];
          const watermark = new Watermark(sources);
          let boundary = Number.NEGATIVE_INFINITY;
          for (const [index, stepMs, ended] of moves) {
            let source = sources[index];
            if (source === undefined) {
              source = { newestMs: Number.NEGATIVE_INFINITY, ended: false };
              sources.push(source);
            }
            const from = Number.isFinite(watermark.newestMs) ? watermark.newestMs : 0;
            source.newestMs = Math.max(source.newestMs, from + stepMs);
            source.ended = ended && index > 3;
            watermark.newestMs = Math.max(watermark.newestMs, source.newestMs);

            const live = sources.filter((one) => !one.ended && one.newestMs >= watermark.newestMs - 60_000);
            const least = live.length > 0 ? Math.min(...live.map((one) => one.newestMs)) : watermark.newestMs;
            expect(watermark.value(latenessMs)).toBe(least - latenessMs);
            const passed = least - latenessMs >= boundary;
            expect(watermark.mayPass()).toBe(passed);
            if (!passed) continue;
            boundary = Math.floor((least - latenessMs) / 10_000) * 10_000 + 10_000;
            watermark.expect(boundary, latenessMs);
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  test('closes a window once every live source passed its end by the lateness', () => {
    const harness = createHarness();
    harness.send({ source: 'a', sequence: 1, samples: [[1, 1]] });
    harness.send({ source: 'b', sequence: 1, samples: [[2, 1]] });
    harness.send({ source: 'a', sequence: 2, samples: [[30, 1]] });
    harness.send({ source: 'b', sequence: 2, samples: [[11.999, 1]] });
    expect(harness.closed).toHaveLength(0);
    harness.send({ source: 'b', sequence: 3, samples: [[12, 1]] });
    expect(harness.closed.map((window) => seconds(window.endMs))).toEqual([10]);
    expect(seconds(harness.stream.watermarkMs())).toBe(10);
  });

  test('does not wait for a source more than 60 s behind the newest', () => {
    const harness = createHarness();
    harness.send({ source: 'slow', sequence: 1, samples: [[1, 1]] });
    harness.send({ source: 'fast', sequence: 1, samples: [[61, 1]] });
    expect(harness.closed).toHaveLength(0);
    harness.send({ source: 'fast', sequence: 2, samples: [[61.001, 1]] });
    expect(harness.closed.map((window) => seconds(window.endMs))).toEqual([10]);
    harness.send({ source: 'slow', sequence: 2, samples: [[2, 1]] });
    expect(Array.from(harness.samples().slice(0, 3))).toEqual([3, 0, 1]);
  });

  test('does not wait for a run whose producer started again', () => {
    const harness = createHarness();
    harness.send({ epoch: 1, sequence: 1, samples: [[1, 1]] });
    harness.send({ epoch: 2, sequence: 1, samples: [[12, 1]] });
    expect(harness.closed).toHaveLength(1);
  });

  test('never goes back when an older source joins', () => {
    const harness = createHarness();
    harness.send({
      source: 'a',
      sequence: 1,
      samples: [
        [5, 1],
        [25, 1],
      ],
    });
    harness.send({ source: 'b', sequence: 1, samples: [[21, 1]] });
    expect(harness.closed).toHaveLength(1);
    expect(seconds(harness.stream.watermarkMs())).toBe(20);
  });

  test('judges a whole batch before it moves', () => {
    const harness = createHarness();
    const samples = Array.from({ length: 50 }, (_, i) => [i * 10, 1] as const);
    harness.send({ sequence: 1, samples });
    expect(harness.samples()[0]).toBe(50);
    expect(harness.closed).toHaveLength(48);
  });

  test('publishes nothing for empty windows', () => {
    const harness = createHarness();
    harness.send({ sequence: 1, samples: [[1, 1]] });
    harness.send({ sequence: 2, samples: [[1001, 1]] });
    expect(harness.closed).toHaveLength(1);
    expect(harness.stream.head.windowsClosed).toBe(1);
  });

  test('follows the time of batches without samples', () => {
    const harness = createHarness();
    harness.send({ sequence: 1, samples: [[1, 1]] });
    harness.send({ sequence: 2, baseSeconds: 12 });
    expect(harness.closed).toHaveLength(1);
  });
});

describe('the end of input', () => {
  test('closes every open window and marks the last', () => {
    const harness = createHarness({ latenessMs: 100_000 });
    harness.send({
      sequence: 1,
      samples: [
        [1, 1],
        [15, 1],
        [35, 1],
      ],
      endOfInput: true,
    });
    expect(harness.closed.map((window) => [seconds(window.startMs), window.endOfInput])).toEqual([
      [0, false],
      [10, false],
      [30, true],
    ]);
    expect(harness.stream.windows).toHaveLength(0);
  });

  test('is not taken from a duplicate, and a source that sends again is live again', () => {
    const harness = createHarness();
    harness.send({ sequence: 1, samples: [[1, 1]], endOfInput: true });
    expect(harness.stream.sources.runs[0]!.ended).toBe(true);
    harness.send({ sequence: 2, samples: [[12, 1]] });
    harness.send({ sequence: 1, samples: [[1, 1]], endOfInput: true });
    expect(harness.stream.sources.runs[0]!.ended).toBe(false);
    expect(harness.closed).toHaveLength(1);
    expect(harness.stream.windows).toHaveLength(1);
  });
});

describe('silence', () => {
  const speak = (harness: ReturnType<typeof createHarness>, baseSeconds: number, receivedSeconds: number) =>
    harness.sendRaw(
      encodeBatch({ source: SILENCE_SOURCE, node: SILENCE_NODE, epoch: 0, baseSeconds }),
      subjectOf(SILENCE_NODE),
      receivedSeconds,
    );

  test('moves the newest event time, and closes once every source fell behind', () => {
    const harness = createHarness();
    harness.send({ sequence: 1, samples: [[5, 1]] }, 1000);
    speak(harness, 5 + 60, 1060);
    expect(harness.closed).toHaveLength(0);
    speak(harness, 5 + 61, 1061);
    expect(harness.closed).toHaveLength(1);
    expect(seconds(harness.stream.head.newestHeardMs)).toBe(5);
  });

  test('that closed the last window leaves the end of input to one window of nobody, said once', () => {
    const harness = createHarness();
    harness.send({ source: 'a', sequence: 1, samples: [[5, 1]] }, 1000);
    harness.send({ source: 'b', sequence: 1, samples: [[5, 1]] }, 1000);
    speak(harness, 5 + 61, 1061);
    expect(harness.closed).toMatchObject([{ startMs: START_MS, endOfInput: false }]);
    harness.send({ source: 'a', sequence: 2, baseSeconds: 5, endOfInput: true }, 1062);
    harness.send({ source: 'b', sequence: 2, baseSeconds: 5, endOfInput: true }, 1063);
    expect(harness.closed.slice(1)).toMatchObject([{ nodes: [], completeness: 0, endOfInput: true }]);
    expect(harness.closed[1]!.startMs).toBeGreaterThan(START_MS);
    expect(harness.stream.head.windowsClosed).toBe(1);
    harness.send({ source: 'a', epoch: 2, sequence: 1, samples: [[200, 1]], endOfInput: true }, 1300);
    expect(harness.closed.slice(2)).toMatchObject([{ nodes: [{ name: 'n1' }], endOfInput: true }]);
  });

  test("is never counted, and never more than the broker's stamps say", () => {
    const harness = createHarness();
    harness.send({ sequence: 1, samples: [[5, 1]] }, 1000);
    speak(harness, 100_000, 1010);
    expect(seconds(harness.stream.watermark.newestMs)).toBe(15);
    expect(Array.from(harness.messages())).toEqual([1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    expect(harness.fold.deadLetters).toEqual([]);
  });

  test("cannot be spoken on a node's subject or with samples", () => {
    const harness = createHarness();
    harness.send({ source: SILENCE_SOURCE, sequence: 1, baseSeconds: 5 });
    harness.sendRaw(
      encodeBatch({ source: SILENCE_SOURCE, node: SILENCE_NODE, samples: [[1, 1]] }),
      subjectOf(SILENCE_NODE),
    );
    expect(Array.from(harness.messages().slice(0, 4))).toEqual([1, 0, 0, 1]);
  });
});

describe('what was not heard of for long', () => {
  test('is forgotten: series, nodes, metrics and sources, while the rest goes on', () => {
    const harness = createHarness({ memoryMs: 3_600_000 });
    harness.send({ source: 'old', node: 'old', sequence: 1, samples: [[1, 1, 'gone']], unit: 'W' });
    harness.send({ source: 'new', node: 'new', sequence: 1, samples: [[1, 1, 'kept']] });
    for (let i = 1; i <= 30; i++)
      harness.send({ source: 'new', node: 'new', sequence: i + 1, samples: [[i * 300, i, 'kept']] });
    expect(harness.stream.catalog.nodes.map((node) => node.name)).toEqual(['new']);
    expect(harness.stream.catalog.metrics.map((metric) => metric.name)).toEqual(['kept']);
    expect(harness.stream.sources.runs.map((run) => run.sourceId)).toEqual(['new']);
    harness.send({ source: 'old', node: 'old', sequence: 1, samples: [[9000, 1, 'gone']], unit: 'kW' });
    expect(harness.samples()[0]).toBe(33);
    expect(harness.closed.at(-1)!.nodes.map((node) => node.name)).toEqual(['new']);
  });
});
