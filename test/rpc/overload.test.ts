import { beforeEach, describe, expect, test } from '@jest/globals';
import { createOverload } from '../../src/rpc/overload.ts';

let delayMs: number;
let heapShare: number;
let commits: number[];
let overload: ReturnType<typeof createOverload>;
let nowMs: number;

beforeEach(() => {
  delayMs = 0;
  heapShare = 0;
  commits = [];
  nowMs = 0;
  overload = createOverload({
    loopDelayMs: () => delayMs,
    heapShare: () => heapShare,
    commitSeconds: () => commits,
    stop: () => undefined,
  });
});

/** Reads the signals as often as it takes to believe them. */
function read(): number {
  for (let i = 0; i < 2; i++) {
    nowMs += 500;
    overload.refresh(nowMs);
  }
  return overload.ratio(0, 100);
}

describe('overload', () => {
  test.each([
    [80, 0],
    [100, 0.5],
    [119, 0.975],
    [120, 1],
    [500, 1],
  ])('of %d calls in flight under a limit of 100 is %d', (inFlight, ratio) => {
    expect(overload.ratio(inFlight, 100)).toBeCloseTo(ratio, 9);
    expect(overload.cause(inFlight, 100)).toBe('CONCURRENCY');
  });

  test.each([
    [20, 0],
    [60, 0.5],
    [100, 1],
    [900, 1],
  ])('of an event loop late by %d ms is %d', (lateMs, ratio) => {
    delayMs = lateMs;
    expect(read()).toBeCloseTo(ratio, 9);
    if (ratio > 0) expect(overload.cause(0, 100)).toBe('LOOP_DELAY');
    expect(overload.loopDelayMs).toBe(lateMs);
  });

  test('of one pause of the event loop is none', () => {
    delayMs = 400;
    overload.refresh(500);
    expect(overload.ratio(0, 100)).toBe(0);
    delayMs = 5;
    overload.refresh(1_000);
    expect(overload.ratio(0, 100)).toBe(0);
  });

  test.each([
    [0.7, 0],
    [0.8, 0.5],
    [0.9, 1],
  ])('of a heap used to %d is %d', (share, ratio) => {
    heapShare = share;
    expect(read()).toBeCloseTo(ratio, 9);
    if (ratio > 0) expect(overload.cause(0, 100)).toBe('HEAP');
  });

  test.each([
    [0.05, 0],
    [0.275, 0.5],
    [0.5, 1],
  ])('of commits that take %d s is %d', (seconds, ratio) => {
    commits = [seconds, seconds, seconds];
    expect(read()).toBeCloseTo(ratio, 9);
    if (ratio > 0) expect(overload.cause(0, 100)).toBe('COMMIT');
  });

  test('of one slow commit among a few is none', () => {
    commits = [0.003, 0.9, 0.002];
    expect(read()).toBe(0);
  });

  test('of commits that were slow once is over when there are no more of them', () => {
    commits = [0.6, 0.61, 0.62];
    expect(read()).toBe(1);
    for (let i = 0; i < 18; i++) expect(read()).toBe(i < 9 ? 1 : 0); // 10 s.
    commits = [0.001, 0.002, ...commits];
    expect(read()).toBe(0);
  });

  test('is the worst of its signals', () => {
    delayMs = 60;
    heapShare = 0.75;
    expect(read()).toBeCloseTo(0.5, 9);
    expect(overload.ratio(110, 100)).toBeCloseTo(0.75, 9);
    expect(overload.cause(110, 100)).toBe('CONCURRENCY');
    expect(overload.cause(90, 100)).toBe('LOOP_DELAY');
  });
});
