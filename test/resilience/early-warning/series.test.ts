/** Which series are judged at all, and the buffer of a live scalar: replay, gaps, eviction, state. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  type Prepared,
  prepareSeries,
  SeriesBuffer,
  type SeriesState,
} from '../../../src/resilience/early-warning/series.ts';

const NONE = Number.NaN;

function series(values: readonly number[] | Float64Array, limit?: number) {
  return {
    name: 'load',
    intervalMs: 1000,
    values: Float64Array.from(values),
    ...(limit !== undefined && { limit }),
  };
}

/** A wave with some of its values missing. */
function wave(length: number, ...missing: readonly (readonly [from: number, to: number])[]): number[] {
  return Array.from({ length }, (_, t) =>
    missing.some(([from, to]) => t >= from && t < to) ? NONE : 10 + Math.sin(t / 3),
  );
}

function accepted(prepared: Prepared): Extract<Prepared, { status: 'OK' }> {
  if (prepared.status !== 'OK') throw new Error(prepared.why);
  return prepared;
}

describe('a series prepared for judgment', () => {
  test('is itself when nothing is missing, in an array of its own', () => {
    const given = series(wave(60));
    const { values, filled } = accepted(prepareSeries(given));
    expect([...values]).toEqual([...given.values]);
    expect(values.buffer).not.toBe(given.values.buffer);
    expect(filled).toBe(0);
  });

  test('has gaps of up to 3 filled by a line between their neighbors', () => {
    const given = series(wave(80, [10, 13], [40, 41]));
    const { values, filled } = accepted(prepareSeries(given));
    expect(filled).toBe(4);
    expect(values).toHaveLength(80);
    const [before, after] = [given.values[9]!, given.values[13]!];
    [1, 2, 3].forEach((step) => {
      expect(values[9 + step]).toBeCloseTo(before + (step / 4) * (after - before), 14);
    });
  });

  test('begins after the last gap longer than 3', () => {
    const given = series(wave(200, [20, 24], [100, 104], [150, 152]));
    const { values, filled } = accepted(prepareSeries(given));
    expect(values).toHaveLength(96);
    expect(values[0]).toBe(given.values[104]);
    expect(filled).toBe(2);
  });

  test('loses missing values at its ends, unless the end is missing for long', () => {
    expect(accepted(prepareSeries(series(wave(80, [0, 9], [77, 80])))).values).toHaveLength(68);
    expect(prepareSeries(series(wave(80, [76, 80])))).toMatchObject({ status: 'INSUFFICIENT' });
  });

  test('counts infinite values as missing', () => {
    const values = wave(60);
    values[30] = Number.POSITIVE_INFINITY;
    expect(accepted(prepareSeries(series(values))).filled).toBe(1);
  });

  test('needs 50 samples in one piece', () => {
    expect(prepareSeries(series(wave(50))).status).toBe('OK');
    expect(prepareSeries(series(wave(49)))).toEqual({
      status: 'INSUFFICIENT',
      why: '49 samples without a long gap, 50 needed',
    });
    expect(prepareSeries(series(wave(500, [480, 484]))).status).toBe('INSUFFICIENT');
    expect(prepareSeries(series([])).status).toBe('INSUFFICIENT');
    expect(prepareSeries(series(new Array(70).fill(NONE))).status).toBe('INSUFFICIENT');
  });

  test('may have a tenth of its samples filled, no more', () => {
    const gaps = (count: number) =>
      Array.from({ length: count }, (_, k) => [5 + 4 * k, 6 + 4 * k] as [number, number]);
    expect(prepareSeries(series(wave(60, ...gaps(6)))).status).toBe('OK');
    expect(prepareSeries(series(wave(60, ...gaps(7)))).status).toBe('INSUFFICIENT');
  });

  test('is degenerate when it does not vary beside its mean or its limit', () => {
    const tiny = Array.from({ length: 60 }, (_, t) => (t % 2) * 1e-6);
    expect(prepareSeries(series(tiny)).status).toBe('OK');
    expect(prepareSeries(series(tiny.map((x) => x + 1e4))).status).toBe('DEGENERATE');
    expect(prepareSeries(series(tiny, 1e4)).status).toBe('DEGENERATE');
    expect(prepareSeries(series(tiny, -1e4)).status).toBe('DEGENERATE');
    for (const level of [0, 0.1, -7e22]) {
      expect(prepareSeries(series(new Array(60).fill(level))).status).toBe('DEGENERATE');
    }
  });

  test('has only finite values, no more than were given, and ends with the last of them', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof({ weight: 12, arbitrary: fc.double({ min: -9, max: 9, noNaN: true }) }, fc.constant(NONE)),
          {
            minLength: 60,
            maxLength: 160,
          },
        ),
        (list) => {
          const prepared = prepareSeries(series(list));
          fc.pre(prepared.status === 'OK');
          const { values, filled } = accepted(prepared);
          expect(values.every(Number.isFinite)).toBe(true);
          expect(values.at(-1)).toBe(list.findLast(Number.isFinite));
          expect(filled).toBeLessThanOrEqual(0.1 * values.length);
        },
      ),
    );
  });
});

describe('the buffer of a live series', () => {
  const INTERVAL = 100;

  test('holds the mean of the samples in each slot', () => {
    const buffer = new SeriesBuffer(INTERVAL, 8);
    [
      [1000, 2],
      [1050, 4],
      [1099, 9],
      [1100, 7],
    ].forEach(([at, value]) => {
      expect(buffer.add(at!, value!)).toBe(true);
    });
    expect([...buffer.until(1200, 8)]).toEqual([5, 7]);
    expect(buffer.newestMs).toBe(1100);
  });

  test('gives only slots that have ended', () => {
    const buffer = new SeriesBuffer(INTERVAL, 8);
    buffer.add(1000, 1);
    buffer.add(1100, 2);
    expect([...buffer.until(1199, 8)]).toEqual([1]);
    expect([...buffer.until(1200, 8)]).toEqual([1, 2]);
    expect([...buffer.until(1250, 1)]).toEqual([2]);
    expect([...buffer.until(1099, 8)]).toEqual([]);
  });

  test('has no value where nothing came, also after the newest sample', () => {
    const buffer = new SeriesBuffer(INTERVAL, 8);
    buffer.add(1000, 1);
    buffer.add(1300, 4);
    expect([...buffer.until(1600, 8)]).toEqual([1, NONE, NONE, 4, NONE, NONE]);
    // Leading empty slots are left out.
    expect([...buffer.until(1600, 5)]).toEqual([4, NONE, NONE]);
  });

  test('is empty before the first sample and refuses what is no sample', () => {
    const buffer = new SeriesBuffer(INTERVAL, 8);
    expect(buffer.newestMs).toBe(Number.NEGATIVE_INFINITY);
    expect(buffer.until(5000, 8)).toHaveLength(0);
    expect(buffer.add(1000, NONE)).toBe(false);
    expect(buffer.add(NONE, 1)).toBe(false);
    expect(buffer.newestMs).toBe(Number.NEGATIVE_INFINITY);
    expect(SeriesBuffer.restore(buffer.state()).state()).toEqual(buffer.state());
    expect(() => new SeriesBuffer(0, 8)).toThrow(RangeError);
    expect(() => new SeriesBuffer(INTERVAL, 0)).toThrow(RangeError);
  });

  test('keeps the mean of samples whose sum no number can hold', () => {
    const buffer = new SeriesBuffer(INTERVAL, 2);
    buffer.add(0, Number.MAX_VALUE);
    buffer.add(1, Number.MAX_VALUE);
    buffer.add(2, -Number.MAX_VALUE);
    expect(buffer.until(INTERVAL, 1)[0]! / Number.MAX_VALUE).toBeCloseTo(1 / 3, 12);
  });

  const sample = fc.record({
    stepMs: fc.oneof(
      { weight: 8, arbitrary: fc.integer({ min: -150, max: 250 }) },
      fc.integer({ min: 250, max: 3000 }),
    ),
    value: fc.double({ min: -1e6, max: 1e6, noNaN: true }),
  });
  const feed = fc
    .tuple(fc.integer({ min: -5000, max: 5000 }), fc.array(sample, { maxLength: 60 }))
    .map(([startMs, steps]) => {
      let atMs = startMs;
      return steps.map(({ stepMs, value }) => {
        atMs += stepMs;
        return { atMs, value };
      });
    });

  test('agrees with a list of all samples, whatever comes in whatever order', () => {
    fc.assert(
      fc.property(
        feed,
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: -6000, max: 40_000 }),
        (samples, capacity, endMs) => {
          const buffer = new SeriesBuffer(INTERVAL, capacity);
          const slots = new Map<number, number[]>();
          let newest = Number.NEGATIVE_INFINITY;
          for (const { atMs, value } of samples) {
            expect(buffer.add(atMs, value)).toBe(atMs > newest);
            if (atMs <= newest) continue;
            newest = atMs;
            const slot = Math.floor(atMs / INTERVAL);
            slots.set(slot, [...(slots.get(slot) ?? []), value]);
          }
          const last = Math.floor(endMs / INTERVAL) - 1;
          const oldest = Math.max(last - 7, Math.floor(newest / INTERVAL) - capacity + 1);
          const expected: number[] = [];
          for (let slot = oldest; slot <= last; slot++) {
            const held = slots.get(slot);
            if (held) expected.push(held.reduce((a, b) => a + b, 0) / held.length);
            else if (expected.length > 0) expected.push(NONE);
          }
          const found = buffer.until(endMs, 8);
          expect(found).toHaveLength(expected.length);
          found.forEach((mean, at) => {
            if (Number.isNaN(expected[at]!)) expect(mean).toBeNaN();
            else expect(Math.abs(mean - expected[at]!)).toBeLessThan(1e-8);
          });
        },
      ),
    );
  });

  test('is not changed by any replay of what it took', () => {
    fc.assert(
      fc.property(feed, fc.nat(), (samples, cut) => {
        const buffer = new SeriesBuffer(INTERVAL, 6);
        for (const { atMs, value } of samples) buffer.add(atMs, value);
        const before = buffer.state();
        for (const { atMs, value } of samples.slice(cut % (samples.length + 1))) {
          expect(buffer.add(atMs, value)).toBe(false);
        }
        expect(buffer.state()).toEqual(before);
      }),
    );
  });

  test('goes through JSON and back to the bit, and on as if never stopped', () => {
    fc.assert(
      fc.property(feed, feed, (first, then) => {
        const buffer = new SeriesBuffer(INTERVAL, 6);
        for (const { atMs, value } of first) buffer.add(atMs, value);
        const carried: SeriesState = JSON.parse(JSON.stringify(buffer.state()));
        const restored = SeriesBuffer.restore(carried);
        for (const { atMs, value } of then) {
          expect(restored.add(atMs, value)).toBe(buffer.add(atMs, value));
        }
        expect(restored.newestMs).toBe(buffer.newestMs);
        expect(restored.state()).toEqual(buffer.state());
        expect([...restored.until(20_000, 300)]).toEqual([...buffer.until(20_000, 300)]);
      }),
    );
  });
});
