/** Change points: the threshold's golden numbers, how often there is a false alarm, how soon a true one and where it began. */
import { describe, expect, test } from '@jest/globals';
import { alarmThreshold, ChangePoints } from '../../../src/energy/regime/change-point.ts';
import { createRandom, type Random } from '../../../src/random.ts';

type Law = (random: Random) => () => number;

function autoregression(memory: number, noise: (random: Random) => number): Law {
  return (random) => {
    let value = noise(random) / Math.sqrt(1 - memory * memory);
    return () => {
      value = memory * value + noise(random);
      return value;
    };
  };
}

const LAWS: Readonly<Record<string, Law>> = {
  'independent values': (random) => () => random.normal(),
  'a first-order autoregression': autoregression(0.6, (random) => random.normal()),
  'an alternating one': autoregression(-0.6, (random) => random.normal()),
  'heavy tails': (random) => () => Math.tan(Math.PI * (random.uniform() - 0.5)),
  'skewed values': (random) => () => Math.exp(2 * random.normal()),
};

const INTERVAL = 300;
const WINDOWS = 3000;
const RUNS = 10;

/** Mean windows between alarms of some series of one law. */
function interval(law: Law, statistics: number): number {
  let alarms = 0;
  for (let run = 0; run < RUNS; run++) {
    const next = Array.from({ length: statistics }, (_, nth) => law(createRandom(run + 1, nth)));
    const changes = new ChangePoints(statistics, INTERVAL);
    for (let at = 0; at < WINDOWS; at++) {
      changes.push(next.map((value) => value()));
      if (changes.sinceAlarm === 0) alarms++;
    }
  }
  return (RUNS * WINDOWS) / alarms;
}

/** A detector of six series, the first of which is shifted from window `from` on, up to its alarm or the end. */
function shifted(seed: number, size: number, from: number, end: number): ChangePoints {
  const random = createRandom(seed);
  const changes = new ChangePoints(6, 10_000);
  for (let at = 0; at < end; at++) {
    const values = Array.from({ length: 6 }, () => random.normal());
    changes.push(values.map((value, nth) => (nth === 0 && at >= from ? value + size : value)));
    if (at >= from && changes.sinceAlarm === 0) break;
  }
  return changes;
}

describe('the threshold', () => {
  test('energy.golden CUSUM threshold: 8.04536 for one statistic and 10,000 windows, 9.83630 for six', () => {
    expect(alarmThreshold(1, 10_000)).toBeCloseTo(8.04536, 5);
    expect(alarmThreshold(6, 10_000)).toBeCloseTo(9.8363, 5);
  });

  test('solves its equation from the least interval to the greatest', () => {
    for (const windows of [100, 1e3, 1e5, 1e7]) {
      const b = alarmThreshold(6, windows) + 1.166;
      expect((Math.exp(b) - b - 1) / 0.5 / (2 * 6 * windows)).toBeCloseTo(1, 10);
    }
  });
});

describe('alarms', () => {
  test.each(Object.keys(LAWS))(
    'energy.regime false ones come no sooner than 0.8 of the interval asked for: %s',
    (name) => {
      expect(interval(LAWS[name]!, 1)).toBeGreaterThanOrEqual(0.8 * INTERVAL);
      expect(interval(LAWS[name]!, 6)).toBeGreaterThanOrEqual(0.8 * INTERVAL);
    },
  );

  test('come within a dozen windows of a shift by four deviations, and name where it began', () => {
    const misses = Array.from({ length: 20 }, (_, nth) => {
      const { alarm } = shifted(nth + 1, 4, 200, 212);
      expect(alarm).toBeDefined();
      return Math.abs(alarm!.onset - 200);
    });
    // A sum may have been on its way up by chance when the shift came.
    expect(misses.filter((miss) => miss <= 3).length).toBeGreaterThanOrEqual(14);
  });

  test('come for a fall as for a rise, for a series of few values too', () => {
    expect(shifted(3, -4, 60, 80).alarm!.at).toBeLessThan(80);
    expect(shifted(3, 0, 60, 80).alarm).toBeUndefined();
  });

  test('a constant, missing and infinite values raise none', () => {
    const changes = new ChangePoints(3, 100);
    for (let at = 0; at < 3000; at++)
      changes.push([7, undefined, at % 2 === 0 ? Number.POSITIVE_INFINITY : Number.NaN]);
    expect(changes.alarm).toBeUndefined();
    expect(changes.sinceAlarm).toBeUndefined();
  });

  test('a restored detector goes on bit for bit', () => {
    const random = createRandom(12);
    const whole = new ChangePoints(2, 200);
    let restored = new ChangePoints(2, 200);
    for (let at = 0; at < 1500; at++) {
      if (at % 61 === 0) restored = new ChangePoints(2, 200, structuredClone(restored.state()));
      const values = [random.normal(), random.normal()];
      whole.push(values);
      restored.push(values);
      expect(restored.alarm).toEqual(whole.alarm);
    }
    expect(whole.alarm).toBeDefined();
    expect(restored.state()).toEqual(whole.state());
  });
});
