import { beforeEach, describe, expect, test } from '@jest/globals';
import { Criticality } from '../../src/gen/homeostat/options/v1/method_pb.ts';
import { createRandom } from '../../src/random.ts';
import { type Admission, createAdmission } from '../../src/rpc/admission.ts';
import { newLatencyHistory } from '../../src/rpc/concurrency-limit.ts';
import { UNLOADED } from '../../src/rpc/load-signals.ts';
import { createFakeClock, type FakeClock } from '../support/fake-clock.ts';

const { CRITICAL, HIGH, NORMAL, BULK } = Criticality;

let clock: FakeClock;
let heapShare: number;
let admission: Admission;

beforeEach(() => {
  clock = createFakeClock();
  heapShare = 0;
  const load = { ...UNLOADED, heapShare: () => heapShare };
  admission = createAdmission({ clock, load, random: createRandom(1) });
  admission.start();
});

const caller = (identity: string, criticality?: string) => ({
  identity: () => identity,
  criticality: () => criticality,
});

/** Sets an overload, by the heap. */
async function overloadBy(ratio: number) {
  heapShare = 0.7 + 0.2 * ratio;
  await clock.advance(500);
  expect(admission.overload).toBeCloseTo(ratio, 6);
}

/** Share of 1,000 callers that are let in, each once and leaving at once. */
function shareAdmitted(criticality: Criticality, said?: string): number {
  const history = newLatencyHistory();
  let admitted = 0;
  for (let i = 0; i < 1_000; i++) {
    if (admission.enter(criticality, caller(`caller ${i}`, said))) continue;
    admission.leave(history, 0, false);
    admitted++;
  }
  return admitted / 1_000;
}

/** Fills the server with calls of one caller. */
function fill(count: number) {
  for (let i = 0; i < count; i++) expect(admission.enter(CRITICAL, caller('x'))).toBeUndefined();
}

describe('admission', () => {
  test('lets everybody in while there is no overload', () => {
    for (const criticality of [CRITICAL, HIGH, NORMAL, BULK]) expect(shareAdmitted(criticality)).toBe(1);
    expect(admission.inFlight).toBe(0);
  });

  // Let in where priority < 100 (1 - o^3): bulk has 85..94, normal 60..69, high 30..39, critical 0.
  test.each([
    [0.38, [1, 1, 1, 1]], // 94.5
    [0.48, [1, 1, 1, 0.4]], // 88.9: 85..88
    [0.54, [1, 1, 1, 0]], // 84.3
    [0.67, [1, 1, 1, 0]], // 69.9
    [0.7, [1, 1, 0.6, 0]], // 65.7: 60..65
    [0.75, [1, 1, 0, 0]], // 57.8
    [0.84, [1, 1, 0, 0]], // 40.7
    [0.87, [1, 0.5, 0, 0]], // 34.1: 30..34
    [0.89, [1, 0, 0, 0]], // 29.5
    [1, [1, 0, 0, 0]],
  ])(
    'at an overload of %d lets in these shares of critical, high, normal and bulk calls: %j',
    async (ratio, shares) => {
      await overloadBy(ratio);
      const found = [CRITICAL, HIGH, NORMAL, BULK].map((criticality) => shareAdmitted(criticality));
      for (const [index, share] of shares.entries())
        expect(Math.abs(found[index]! - share)).toBeLessThan(0.06);
    },
  );

  test('refuses critical calls only when a fifth over the limit is in flight', async () => {
    fill(120);
    expect(admission.enter(CRITICAL, caller('x'))).toMatchObject({
      reason: 'OVERLOADED',
      kind: 'RESOURCE_EXHAUSTED',
      metadata: { cause: 'CONCURRENCY', criticality: 'CRITICAL' },
    });
    expect(admission.inFlight).toBe(120);
    admission.leave(newLatencyHistory(), 1, true);
    expect(admission.enter(CRITICAL, caller('x'))).toBeUndefined();
  });

  test('refuses normal calls when the limit is well reached, and high ones later', () => {
    fill(109); // o = 0.725, 61.9 of 100
    expect(shareAdmitted(NORMAL)).toBeGreaterThan(0.1);
    expect(shareAdmitted(NORMAL)).toBeLessThan(0.3);
    expect(shareAdmitted(HIGH)).toBe(1);
    fill(1);
    expect(shareAdmitted(NORMAL)).toBeLessThan(0.1);
    fill(5); // o = 0.875
    expect(shareAdmitted(HIGH)).toBeLessThan(0.5);
    expect(shareAdmitted(CRITICAL)).toBe(1);
  });

  test('lets a caller lower what its call is worth, and not raise it', async () => {
    await overloadBy(0.6); // 78.4
    expect(shareAdmitted(HIGH, 'bulk')).toBe(0);
    expect(shareAdmitted(HIGH, 'NORMAL')).toBe(1);
    expect(shareAdmitted(BULK, 'CRITICAL')).toBe(0);
    expect(shareAdmitted(HIGH, 'whatever')).toBe(1);
    expect(shareAdmitted(HIGH, 'UNSPECIFIED')).toBe(1);
    expect(admission.shed.get('BULK HEAP')).toBe(2_000);
  });

  test('refuses other callers in another hour', async () => {
    await overloadBy(0.7);
    const refused = () =>
      Array.from(
        { length: 50 },
        (_, i) => admission.enterStream(NORMAL, caller(`caller ${i}`)) !== undefined,
      );
    const before = refused();
    expect(refused()).toEqual(before);
    await clock.advance(3_600_000);
    expect(refused()).not.toEqual(before);
  });

  test('does not count streams as in flight, but refuses them alike', async () => {
    expect(admission.enterStream(BULK, caller('x'))).toBeUndefined();
    expect(admission.inFlight).toBe(0);
    await overloadBy(1);
    expect(admission.enterStream(HIGH, caller('x'))).toMatchObject({ reason: 'OVERLOADED' });
  });

  test.each([
    [0.48, 250 * 2 ** 3],
    [0.7, 250 * 2 ** 5],
    [1, 250 * 2 ** 6],
  ])(
    'tells callers at an overload of %d to come again within %d ms, each at another time',
    async (ratio, longestMs) => {
      await overloadBy(ratio);
      const waits = Array.from({ length: 2_000 }, (_, i) =>
        admission.enterStream(BULK, caller(`caller ${i}`)),
      )
        .map((refusal) => refusal?.retryAfterMs)
        .filter((waitMs) => waitMs !== undefined);
      expect(waits.length).toBeGreaterThan(400);
      expect(Math.max(...waits)).toBeLessThanOrEqual(longestMs);
      expect(Math.max(...waits)).toBeGreaterThan(0.95 * longestMs);
      expect(Math.min(...waits)).toBeLessThan(0.05 * longestMs);
    },
  );

  test('adapts its limit to latency, and learns latency only while all is calm', async () => {
    const history = newLatencyHistory();
    const halfSecond = async (durationMs: number) => {
      const count = Math.min(60, Math.floor(admission.limit));
      fill(count);
      for (let i = 0; i < count; i++) admission.leave(history, durationMs, true);
      await clock.advance(500);
    };
    await halfSecond(10);
    const calm = admission.limit;
    expect(calm).toBeGreaterThan(100);
    heapShare = 0.75;
    for (let i = 0; i < 20; i++) await halfSecond(100);
    expect(admission.limit).toBeLessThan(calm / 2);
    expect(history.medianMs).toBe(10);
  });

  test('leaves no timer behind', () => {
    admission.stop();
    expect(clock.pending()).toBe(0);
  });
});
