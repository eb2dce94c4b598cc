import { describe, expect, test } from '@jest/globals';
import { createRandom } from '../../src/random.ts';
import { type CrisisSpan, calmDemand, crisisDemand } from '../../src/simulation/demand.ts';
import { calmLoad, createSharedLoad, FOLD, recoveryRate } from '../../src/simulation/load.ts';

const HOUR_MS = 3_600_000;
/** Between two of the times at which demand is looked at. */
const STEP_MS = 5_000;
const startMs = Date.UTC(2026, 0, 1);

function span(hours: number): CrisisSpan {
  const fromMs = startMs + 8 * HOUR_MS;
  return { startMs, fromMs, toMs: fromMs + hours * HOUR_MS };
}

const SPANS = [
  ['ten minutes', 1 / 6],
  ['an hour', 1],
  ['two hours', 2],
  ['five days', 120],
] as const;

describe.each(SPANS)('the demand of a crisis within %s', (_, hours) => {
  const given = span(hours);
  const { fromMs, toMs } = given;
  const demand = crisisDemand(given);
  const middleMs = (fromMs + toMs) / 2;
  /** From the calm before the crisis to the calm after it, 5 s apart. */
  const times = Array.from({ length: 9 * 720 }, (_, i) => middleMs - 8 * HOUR_MS + i * STEP_MS).filter(
    (atMs) => atMs < toMs,
  );

  test('is calm first and last, and passes the fold once, shortly before the middle', () => {
    expect(demand(startMs)).toBeCloseTo(calmDemand(startMs), 12);
    expect(demand(toMs)).toBeCloseTo(calmDemand(toMs), 12);
    const isBeyond = (atMs: number) => demand(atMs) > FOLD.offered;
    const passedMs = times.find(isBeyond)!;
    expect(middleMs - passedMs).toBeGreaterThan(60_000);
    expect(middleMs - passedMs).toBeLessThan(Math.max(4 * 60_000, (toMs - fromMs) / 8));
    const beyond = times.filter(isBeyond);
    expect(beyond).toHaveLength((beyond.at(-1)! - beyond[0]!) / STEP_MS + 1);
  });

  test('never jumps and never falls before its relief', () => {
    const steps = times.map((atMs) => demand(atMs + STEP_MS) - demand(atMs));
    expect(Math.max(...steps.map(Math.abs))).toBeLessThan(0.1);
    expect(Math.min(...steps.filter((_step, i) => times[i]! < middleMs))).toBeGreaterThanOrEqual(0);
  });

  test('leaves the fleet a seventh of its recovery before the last rise, and more than an hour to see it', () => {
    const calmRate = recoveryRate(calmLoad(calmDemand(0)));
    const rateAt = (atMs: number) => recoveryRate(calmLoad(demand(atMs))) / calmRate;
    const fold = times.find((atMs) => demand(atMs) > FOLD.offered)!;
    expect(rateAt(fold - HOUR_MS)).toBeGreaterThan(0.1);
    expect(rateAt(fold - HOUR_MS)).toBeLessThan(0.15);
    expect(rateAt(fold - 4 * HOUR_MS)).toBeGreaterThan(0.35);
    expect(rateAt(fold - 7 * HOUR_MS)).toBeGreaterThan(0.8);
  });
});

test.each(SPANS)('the load tips around the middle of %s, not by its noise before', (_, hours) => {
  const given = span(hours);
  const { fromMs, toMs } = given;
  const demand = crisisDemand(given);
  const middleMs = (fromMs + toMs) / 2;
  const toleranceMs = Math.max(3 * 60_000, Math.min(20 * 60_000, (toMs - fromMs) / 10));
  const simulatedFromMs = middleMs - 3 * HOUR_MS;
  const simulatedToMs = Math.min(toMs, middleMs + HOUR_MS);
  let inTime = 0;
  for (let seed = 1; seed <= 10; seed++) {
    const load = createSharedLoad(createRandom(seed), demand(simulatedFromMs));
    let tippedMs = Number.NaN;
    let calmMs = Number.NaN;
    let last = 0;
    for (let atMs = simulatedFromMs; atMs < simulatedToMs; atMs += 1_000) {
      last = load.next(demand(atMs));
      if (last > 0.95 && Number.isNaN(tippedMs)) tippedMs = atMs;
      if (last < 0.6 && Number.isNaN(calmMs) && atMs > tippedMs) calmMs = atMs;
    }
    if (Math.abs(tippedMs - middleMs) <= toleranceMs) inTime++;
    expect(calmMs).toBeGreaterThan(middleMs);
    expect(last).toBeLessThan(0.62);
  }
  expect(inTime).toBeGreaterThanOrEqual(9);
});
