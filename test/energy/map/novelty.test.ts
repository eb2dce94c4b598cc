/** What a node has shown before, and how little of it explains a window. */
import { deserialize, serialize } from 'node:v8';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { scoreOf } from '../../../src/energy/map/explanation.ts';
import { CONTEXT_WINDOWS, LENGTHS, Memory, type MemoryState } from '../../../src/energy/map/memory.ts';
import { Novelty, type NoveltyState } from '../../../src/energy/map/novelty.ts';
import { Tail } from '../../../src/energy/map/tail.ts';
import { createRandom } from '../../../src/random.ts';

const FORGETTING = 1 - 2 ** (-300 / (4 * 86_400));
const AGE = 300 / (4 * 86_400);

/** Novelty at each length, window by window; undefined where there was nothing to compare with. */
function meetAll(memory: Memory, values: readonly number[], age = AGE): (number[] | undefined)[] {
  const novelty = new Float64Array(LENGTHS.length);
  return values.map((value) => (memory.meet(value, age, novelty) ? [...novelty] : undefined));
}

/** The definition: the least root mean square distance to any earlier context that does not overlap. */
function nearest(values: readonly number[], at: number, length: number): number {
  let least = Number.POSITIVE_INFINITY;
  for (let end = CONTEXT_WINDOWS - 1; end <= at - CONTEXT_WINDOWS; end++) {
    let sum = 0;
    for (let k = 0; k < length; k++)
      sum += (Math.fround(values[at - k]!) - Math.fround(values[end - k]!)) ** 2;
    least = Math.min(least, Math.sqrt(sum / length));
  }
  return least;
}

function judgeAll(novelty: Novelty, amounts: readonly number[], surprise = 0): number[] {
  return amounts.map((amount) => novelty.judge(amount, surprise, FORGETTING));
}

const alone = () => new Novelty({ center: 0, unit: 1 });

describe('a memory', () => {
  test('gives the distance to the nearest earlier context that does not overlap, at each length', () => {
    const random = createRandom(1);
    const values = Array.from({ length: 200 }, () => random.normal());
    const found = meetAll(new Memory(), values);
    expect(found.findIndex((one) => one !== undefined)).toBe(2 * CONTEXT_WINDOWS - 1);
    for (let at = 2 * CONTEXT_WINDOWS - 1; at < values.length; at++)
      LENGTHS.forEach((length, level) => {
        expect(found[at]![level]).toBeCloseTo(nearest(values, at, length), 12);
      });
  });

  test('holds little of a metric that never moves or repeats itself', () => {
    const still = new Memory();
    meetAll(still, Array(3000).fill(7));
    // Those that came before the first one was remembered.
    expect(still.state().worths).toHaveLength(CONTEXT_WINDOWS);
    const periodic = new Memory();
    meetAll(
      periodic,
      Array.from({ length: 3000 }, (_, at) => at % 24),
    );
    expect(periodic.state().worths.length).toBeLessThanOrEqual(24 + 2 * CONTEXT_WINDOWS);
  });

  test('keeps what is rare through thousands of ordinary windows, of which the nearest to others go', () => {
    const random = createRandom(2);
    const memory = new Memory();
    const event = [40, -30, 20, 50, -60, 10, 70, -20];
    meetAll(
      memory,
      Array.from({ length: 1000 }, () => random.normal()),
    );
    const first = meetAll(memory, event).at(-1)!;
    meetAll(
      memory,
      Array.from({ length: 5000 }, () => random.normal()),
    );
    expect(memory.state().worths).toHaveLength(512);
    const again = meetAll(memory, event).at(-1)!;
    expect(first[2]).toBeGreaterThan(30);
    expect(again[2]).toBe(0);
  });

  test('gives up what was not shown again for long, by event time, and keeps what was', () => {
    const random = createRandom(3);
    const calm = (count: number) => Array.from({ length: count }, () => random.normal());
    const event = [9, -9, 9, -9, 9, -9, 9, -9];
    const afterSilence = (age: number, reminders: number) => {
      const memory = new Memory();
      meetAll(memory, calm(600));
      meetAll(memory, event);
      for (let once = 0; once < 8; once++) {
        meetAll(memory, calm(600), age);
        if (once < reminders) meetAll(memory, event, age);
      }
      return meetAll(memory, event, age).at(-1)![2]!;
    };
    expect(afterSilence(0, 0)).toBe(0);
    expect(afterSilence(0.01, 0)).toBeGreaterThan(3);
    expect(afterSilence(0.01, 7)).toBe(0);
  });
});

describe('a tail', () => {
  test('gives the mid-p-value of a value among those before it', () => {
    const tail = new Tail();
    expect(tail.judge(5, 1)).toBe(0);
    for (const value of [1, 2, 4, 8, 8]) tail.judge(value, 1);
    // Six before: one (5) and two (8) above 4, which is there once; none above 8; 16 is twice the greatest.
    expect(new Tail(tail.counts.slice()).judge(16, 1)).toBeCloseTo(Math.log(7 / 0.5), 6);
    expect(new Tail(tail.counts.slice()).judge(4, 1)).toBeCloseTo(Math.log(7 / 4.5), 6);
    expect(new Tail(tail.counts.slice()).judge(8, 1)).toBeCloseTo(Math.log(7 / 2), 6);
  });

  test('is calibrated on a law of any spread: a share e^-s of the values lies s nats out', () => {
    const random = createRandom(4);
    for (const law of [
      () => -Math.log1p(-random.uniform()),
      () => random.normal() ** 2,
      () => Math.exp(5 * random.normal()),
    ]) {
      const tail = new Tail();
      const judged = Array.from({ length: 20_000 }, () => tail.judge(law(), 1)).slice(2000);
      for (const p of [0.2, 0.05, 0.01]) {
        const share = judged.filter((nats) => nats > -Math.log(p)).length / judged.length;
        expect(share / p).toBeGreaterThan(0.75);
        expect(share / p).toBeLessThan(1.25);
      }
    }
  });

  test('rises with the value beyond all that came before', () => {
    const tail = new Tail();
    for (let i = 0; i < 1000; i++) tail.judge(1 + (i % 10), 1);
    const judged = [12, 20, 100, 1e6].map((value) => new Tail(tail.counts.slice()).judge(value, 1));
    expect([...judged].sort((a, b) => a - b)).toEqual(judged);
    expect(judged[0]).toBeGreaterThan(Math.log(1000));
    expect(judged[3]! - judged[2]!).toBeCloseTo(Math.log(1e4), 0);
  });

  test('finds a value that is always the same ordinary', () => {
    const tail = new Tail();
    const judged = Array.from({ length: 500 }, () => tail.judge(0.25, 1));
    expect(judged.at(-1)).toBeLessThan(0.7);
    expect(judged.at(-1)).toBeGreaterThan(0.6);
  });

  test('forgets: what was common once is rare after many half-lives without it', () => {
    const tail = new Tail();
    for (let i = 0; i < 500; i++) tail.judge(100, 0.98);
    expect(tail.judge(100, 0.98)).toBeLessThan(0.8);
    for (let i = 0; i < 500; i++) tail.judge(1, 0.98);
    expect(tail.judge(100, 0.98)).toBeGreaterThan(3);
  });
});

describe('the evidence of a single metric', () => {
  test('is calibrated on noise of any law', () => {
    const random = createRandom(5);
    for (const law of [() => random.normal(), () => Math.exp(2 * random.normal())]) {
      const judged = judgeAll(alone(), Array.from({ length: 8000 }, law)).slice(3000);
      const share = judged.filter((nats) => nats > -Math.log(0.01)).length / judged.length;
      // Not independent of each other, the three p-values are small together more often than thought.
      expect(share).toBeGreaterThan(0.004);
      expect(share).toBeLessThan(0.04);
    }
  });

  test('finds a pattern never shown among values that are all ordinary', () => {
    const day = Array.from({ length: 24 }, (_, hour) => Math.sin((2 * Math.PI * hour) / 24));
    const random = createRandom(6);
    const days = Array.from({ length: 60 * 24 }, (_, at) => day[at % 24]! + 0.02 * random.normal());
    // Night where noon should be, for eight hours.
    const broken = Array.from({ length: 8 }, () => -0.5 + 0.02 * random.normal());
    const judged = judgeAll(alone(), [...days, ...broken]);
    const ordinary = judged.slice(20 * 24, days.length).sort((a, b) => a - b);
    expect(Math.max(...judged.slice(days.length))).toBeGreaterThan(ordinary[ordinary.length - 3]!);
  });

  test('is great for the first spike of a stream and small for the hundredth', () => {
    const random = createRandom(7);
    const spiky = Array.from({ length: 6000 }, (_, at) => (at % 50 === 49 ? 30 : 0) + random.normal());
    const judged = judgeAll(alone(), spiky);
    const quiet = Array.from({ length: 5999 }, () => random.normal());
    const first = judgeAll(alone(), [...quiet, 30]).at(-1)!;
    expect(judged.at(-1)).toBeLessThan(first / 3);
    expect(judged.at(-1)).toBeLessThan(6);
    expect(first).toBeGreaterThan(10);
  });

  test('does not depend on the unit and the origin of the metric', () => {
    const random = createRandom(8);
    const values = Array.from({ length: 600 }, () => Math.round(64 * random.normal()));
    const plain = judgeAll(alone(), values);
    const shifted = judgeAll(
      new Novelty({ center: 4096, unit: 1024 }),
      values.map((value) => 4096 + 1024 * value),
    );
    expect(shifted).toEqual(plain);
  });
});

describe('the evidence of several metrics', () => {
  test('is the surprise while there is nothing to compare with, and rises with the surprise later', () => {
    const novelty = new Novelty(undefined);
    expect(novelty.judge(1, 3.5, FORGETTING)).toBe(3.5);
    const random = createRandom(9);
    judgeAll(
      novelty,
      Array.from({ length: 300 }, () => Math.abs(random.normal())),
    );
    const saved = serialize(novelty.state());
    const evidence = [0, 1, 10, 400, 1e5].map((surprise) =>
      Novelty.restore(deserialize(saved) as NoveltyState).judge(2, surprise, FORGETTING),
    );
    expect([...evidence].sort((a, b) => a - b)).toEqual(evidence);
    expect(new Set(evidence).size).toBe(evidence.length);
    expect(evidence.at(-1)! / 1e5).toBeCloseTo(1, 2);
  });
});

describe('everything known', () => {
  test('continues bit for bit from its saved state, wherever it was saved', () => {
    const random = createRandom(10);
    const values = Array.from({ length: 1500 }, () => random.normal() ** 3);
    const straight = alone();
    const expected = judgeAll(straight, values);
    for (const cut of [0, 1, 7, 8, 15, 16, 17, 100, 600, 1400]) {
      const before = alone();
      judgeAll(before, values.slice(0, cut));
      const resumed = Novelty.restore(deserialize(serialize(before.state())) as NoveltyState);
      expect(judgeAll(resumed, values.slice(cut))).toEqual(expected.slice(cut));
      expect(resumed.state()).toEqual(straight.state());
    }
  });

  test('takes at most 32 KiB to keep', () => {
    const random = createRandom(11);
    const novelty = alone();
    judgeAll(
      novelty,
      Array.from({ length: 3000 }, () => random.normal()),
    );
    expect(serialize(novelty.state()).length).toBeLessThanOrEqual(32_768);
  });

  test('is finite and at least 0, whatever finite numbers come', () => {
    const wild = fc.oneof(
      fc.constantFrom(0, -0, 1, 1e-320, 1e100, -1e100, 5e-324, 1e15),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
    );
    fc.assert(
      fc.property(fc.array(wild, { minLength: 20, maxLength: 80 }), fc.boolean(), (values, isAlone) => {
        const novelty = isAlone ? new Novelty({ center: 0, unit: 1e-300 }) : new Novelty(undefined);
        for (const value of values) {
          const evidence = novelty.judge(isAlone ? value : Math.abs(value), 1, FORGETTING);
          expect(Number.isFinite(evidence) && evidence >= 0).toBe(true);
        }
        const { recent } = (deserialize(serialize(novelty.state())) as NoveltyState).memory as MemoryState;
        expect(recent.every(Number.isFinite)).toBe(true);
      }),
      { numRuns: 100 },
    );
  });
});

test('a score lies in [0, 1) and rises with the evidence, without end', () => {
  expect(scoreOf(0)).toBe(0);
  fc.assert(
    fc.property(
      fc.double({ min: 0, max: 1e5, noNaN: true }),
      fc.double({ min: 1e-3, max: 10, noNaN: true }),
      (s, more) => {
        expect(scoreOf(s)).toBeGreaterThanOrEqual(0);
        expect(scoreOf(s)).toBeLessThan(1);
        expect(scoreOf(s + more)).toBeGreaterThan(scoreOf(s));
      },
    ),
  );
  expect(scoreOf(Number.POSITIVE_INFINITY)).toBeLessThan(1);
  expect(scoreOf(Number.POSITIVE_INFINITY)).toBeGreaterThanOrEqual(scoreOf(1e9));
});
