/**
 * Waiting in a station of `c` equal servers: Erlang B and C, the mean wait, the tail of the wait, and the greatest
 * utilization that meets a promise about waiting. `servers` is an integer of at least 1; load is in erlangs (arrival
 * rate over the service rate of one server); utilization is load over servers. Pure functions, no allocation.
 */

/** One station. Rates are per second; variabilities are squared coefficients of variation, 1 for exponential. */
export interface Queue {
  readonly servers: number;
  readonly arrivalRate: number;
  /** Of one server. */
  readonly serviceRate: number;
  readonly arrivalVariability: number;
  readonly serviceVariability: number;
}

/** A promise about waiting: longer than `waitServiceTimes` for at most this share of arrivals. */
export interface WaitPromise {
  readonly servers: number;
  /** In mean service times; 0 promises about waiting at all. */
  readonly waitServiceTimes: number;
  /** In (0, 1). */
  readonly probability: number;
}

/** Probability that a station without a waiting room refuses. Recursion B0 = 1, Bk = aB/(k + aB); O(servers). */
export function erlangB(servers: number, load: number): number {
  let blocking = 1;
  for (let k = 1; k <= servers; k++) blocking = (load * blocking) / (k + load * blocking);
  return blocking;
}

/** Probability that an arrival waits: B/(1 - rho(1 - B)), and 1 from saturation on. O(servers). */
export function erlangC(servers: number, load: number): number {
  if (load >= servers) return 1;
  const blocking = erlangB(servers, load);
  return blocking / (1 - (load / servers) * (1 - blocking));
}

/**
 * Mean wait in seconds, Infinity at or above saturation: exact for Poisson arrivals and exponential service, else
 * the Allen-Cunneen approximation (a factor of half the sum of the two variabilities). O(servers).
 */
export function meanWaitSeconds(queue: Queue): number {
  const spareRate = queue.servers * queue.serviceRate - queue.arrivalRate;
  if (spareRate <= 0) return Number.POSITIVE_INFINITY;
  const waiting = erlangC(queue.servers, queue.arrivalRate / queue.serviceRate);
  return (waiting / spareRate) * ((queue.arrivalVariability + queue.serviceVariability) / 2);
}

/**
 * Probability of waiting longer than some seconds: C e^(-(c mu - lambda) t), and 1 from saturation on. `exact` says
 * whether the formula holds for this queue (both variabilities 1) or only serves as an indication.
 */
export function waitExceeds(queue: Queue, seconds: number): { probability: number; exact: boolean } {
  const exact = queue.arrivalVariability === 1 && queue.serviceVariability === 1;
  const spareRate = queue.servers * queue.serviceRate - queue.arrivalRate;
  if (spareRate <= 0) return { probability: 1, exact };
  const waiting = erlangC(queue.servers, queue.arrivalRate / queue.serviceRate);
  return { probability: waiting * Math.exp(-spareRate * seconds), exact };
}

/**
 * Greatest utilization in [0, 1) at which an M/M/c station keeps the promise. The probability of a long wait rises
 * with utilization, so bisection to the last bit finds it: some 50 steps of O(servers).
 */
export function utilizationForPromise(promise: WaitPromise): number {
  const { servers, waitServiceTimes, probability } = promise;
  const keeps = (utilization: number) =>
    erlangC(servers, utilization * servers) * Math.exp(-servers * (1 - utilization) * waitServiceTimes) <=
    probability;
  let kept = 0;
  let broken = 1;
  for (;;) {
    const middle = (kept + broken) / 2;
    if (middle <= kept || middle >= broken) return kept;
    if (keeps(middle)) kept = middle;
    else broken = middle;
  }
}
