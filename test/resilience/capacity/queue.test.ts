/** Waiting in a station, against published values, closed forms and its own monotonicity. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  erlangB,
  erlangC,
  meanWaitSeconds,
  type Queue,
  utilizationForPromise,
  waitExceeds,
} from '../../../src/resilience/capacity/queue.ts';

/** Poisson arrivals, exponential service of one second. */
function station(servers: number, utilization: number): Queue {
  return {
    servers,
    arrivalRate: servers * utilization,
    serviceRate: 1,
    arrivalVariability: 1,
    serviceVariability: 1,
  };
}

describe('waiting', () => {
  test.each([
    [1, 0.8, 4.0],
    [2, 0.7111, 1.7778],
    [4, 0.5964, 0.7455],
    [10, 0.4092, 0.2046],
    [50, 0.087, 0.0087],
    [100, 0.0196, 0.001],
  ])('%d servers at 80 %% make %d wait, %d service times on average', (servers, waiting, meanWait) => {
    expect(erlangC(servers, servers * 0.8)).toBeCloseTo(waiting, 4);
    expect(meanWaitSeconds(station(servers, 0.8))).toBeCloseTo(meanWait, 4);
  });

  test('two servers block as the closed form says', () => {
    const load = 1.3;
    expect(erlangB(2, load)).toBeCloseTo((load * load) / 2 / (1 + load + (load * load) / 2), 15);
  });

  test('half the variability of service halves its share of the wait', () => {
    const queue = station(4, 0.8);
    const steady = { ...queue, serviceVariability: 0 };
    expect(meanWaitSeconds(steady)).toBeCloseTo(meanWaitSeconds(queue) / 2, 12);
  });

  test('the wait has an exponential tail, exact only for exponential arrivals and service', () => {
    const queue = station(1, 0.5);
    expect(waitExceeds(queue, 2)).toEqual({
      probability: expect.closeTo(0.5 * Math.exp(-1), 12),
      exact: true,
    });
    expect(waitExceeds({ ...queue, arrivalVariability: 2 }, 2).exact).toBe(false);
  });

  test('a saturated station makes everybody wait, without end', () => {
    expect(erlangC(3, 3)).toBe(1);
    expect(meanWaitSeconds(station(3, 1))).toBe(Number.POSITIVE_INFINITY);
    expect(waitExceeds(station(3, 1.2), 100).probability).toBe(1);
  });

  test('a hundred thousand servers neither overflow nor underflow into nonsense', () => {
    const waiting = erlangC(100_000, 99_900);
    expect(waiting).toBeGreaterThan(0.5);
    expect(waiting).toBeLessThan(1);
  });
});

describe('utilization for a promise', () => {
  test.each([
    [1, 0.2],
    [10, 0.685],
    [50, 0.854],
    [100, 0.896],
  ])('%d servers may be used to %d when at most a fifth may wait', (servers, utilization) => {
    const promise = { servers, waitServiceTimes: 0, probability: 0.2 };
    expect(utilizationForPromise(promise)).toBeCloseTo(utilization, 3);
  });

  test('is the greatest that keeps the promise, and grows with the wait allowed', () => {
    const promises = fc.record({
      servers: fc.integer({ min: 1, max: 200 }),
      waitServiceTimes: fc.double({ min: 0, max: 3, noNaN: true }),
      probability: fc.double({ min: 0.01, max: 0.99, noNaN: true }),
    });
    fc.assert(
      fc.property(promises, (promise) => {
        const utilization = utilizationForPromise(promise);
        const exceeds = (rho: number) =>
          waitExceeds(station(promise.servers, rho), promise.waitServiceTimes).probability;
        expect(exceeds(utilization)).toBeLessThanOrEqual(promise.probability * (1 + 1e-9));
        expect(exceeds(Math.min(1, utilization + 1e-6))).toBeGreaterThan(promise.probability);
        const patient = { ...promise, waitServiceTimes: promise.waitServiceTimes + 0.5 };
        expect(utilizationForPromise(patient)).toBeGreaterThanOrEqual(utilization);
      }),
    );
  });
});
