import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createConcurrencyLimit, newLatencyHistory, UPDATE_MS } from '../../src/rpc/concurrency-limit.ts';

/** Half a second of calls that all take so long. */
function pass(
  limit: ReturnType<typeof createConcurrencyLimit>,
  history: ReturnType<typeof newLatencyHistory>,
  durationMs: number,
  { peak = limit.value, calm = true, calls = 50 } = {},
) {
  for (let i = 0; i < calls; i++) limit.observe(history, durationMs);
  limit.update(peak, calm);
}

describe('the limit of concurrency', () => {
  test('begins at 100 and grows by a fifth of its root while it is made use of', () => {
    const limit = createConcurrencyLimit();
    const history = newLatencyHistory();
    expect(limit.value).toBe(100);
    pass(limit, history, 10);
    expect(limit.value).toBeCloseTo(100 + 0.2 * Math.sqrt(100), 9);
    pass(limit, history, 10, { peak: limit.value / 2 });
    expect(limit.value).toBeCloseTo(102, 9);
    for (let i = 0; i < 1_000; i++) pass(limit, history, 10);
    expect(limit.value).toBe(1_000);
  });

  test('does not fall for latencies up to half more than usual', () => {
    const limit = createConcurrencyLimit();
    const history = newLatencyHistory();
    pass(limit, history, 10);
    pass(limit, history, 15, { calm: false });
    expect(limit.value).toBeGreaterThan(102);
  });

  test.each([
    [20, 0.75],
    [30, 0.5],
    [1_000, 0.5],
  ])('falls by the gradient when calls that took 10 ms take %d', (durationMs, gradient) => {
    const limit = createConcurrencyLimit();
    const history = newLatencyHistory();
    pass(limit, history, 10, { peak: 0 });
    pass(limit, history, durationMs, { calm: false });
    expect(limit.value).toBeCloseTo(0.8 * 100 + 0.2 * (gradient * 100 + 10), 9);
  });

  test('falls to 20 and no further, and recovers', () => {
    const limit = createConcurrencyLimit();
    const history = newLatencyHistory();
    pass(limit, history, 10);
    for (let i = 0; i < 100; i++) pass(limit, history, 500, { calm: false });
    expect(limit.value).toBe(20);
    pass(limit, history, 10);
    expect(limit.value).toBeGreaterThan(20);
  });

  test('learns what is usual in calm times only', () => {
    const limit = createConcurrencyLimit();
    const history = newLatencyHistory();
    pass(limit, history, 10);
    for (let i = 0; i < 1_000; i++) pass(limit, history, 100, { calm: false });
    expect(history.medianMs).toBe(10);
  });

  test('forgets half of what was usual in ten minutes', () => {
    const limit = createConcurrencyLimit();
    const history = newLatencyHistory();
    for (let i = 0; i < 10_000; i++) pass(limit, history, 10, { calls: 3 });
    expect(history.medianMs).toBeCloseTo(10, 9);
    for (let i = 0; i < 600_000 / UPDATE_MS; i++) pass(limit, history, 20, { calls: 3 });
    expect(history.medianMs).toBeCloseTo(15, 1);
  });

  test('is not bound for minutes to the first calls of a process, which are slow', () => {
    const limit = createConcurrencyLimit();
    const history = newLatencyHistory();
    pass(limit, history, 200);
    for (let i = 0; i < 40; i++) pass(limit, history, 10);
    expect(history.medianMs).toBeLessThan(15);
  });

  test('compares each call with its own method', () => {
    const limit = createConcurrencyLimit();
    const [quick, slow] = [newLatencyHistory(), newLatencyHistory()];
    for (let i = 0; i < 10; i++) limit.observe(quick, 1);
    for (let i = 0; i < 10; i++) limit.observe(slow, 1_000);
    limit.update(0, true);
    for (let i = 0; i < 20; i++) limit.observe(slow, 1_000); // Nothing is slower than usual.
    limit.update(100, true);
    expect(limit.value).toBeCloseTo(102, 9);
  });

  test('stays where it is while nothing is called, and always within its bounds', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            durationMs: fc.double({ min: 0, max: 1e6, noNaN: true }),
            calls: fc.nat(200),
            peak: fc.nat(2_000),
            calm: fc.boolean(),
          }),
        ),
        (windows) => {
          const limit = createConcurrencyLimit();
          const history = newLatencyHistory();
          for (const { durationMs, ...options } of windows) {
            pass(limit, history, durationMs, options);
            expect(limit.value).toBeGreaterThanOrEqual(20);
            expect(limit.value).toBeLessThanOrEqual(1_000);
          }
          const { value } = limit;
          limit.update(0, true);
          expect(limit.value).toBe(value);
        },
      ),
    );
  });
});
