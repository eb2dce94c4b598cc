/** Jobs by a clock moved by hand. */
import { expect, test } from '@jest/globals';
import { startJob } from '../../src/resilience/cadence.ts';
import { createFakeClock, settle } from '../support/fake-clock.ts';
import { silentLogger } from '../support/stores.ts';

test('a job runs at once and then at every interval', async () => {
  const clock = createFakeClock();
  let runs = 0;
  const run = async () => {
    runs += 1;
  };
  const job = startJob({ name: 'count', intervalMs: 1000, clock, logger: silentLogger, run });
  await settle();
  expect([runs, job.lastSuccessMs()]).toEqual([1, clock.nowMs()]);
  await clock.advance(2500);
  expect([runs, job.missed()]).toEqual([3, 0]);
  await job.stop();
  expect(clock.pending()).toBe(0);
});

test('a run that falls due while one is going is counted, not stacked', async () => {
  const clock = createFakeClock();
  let finish = () => {};
  let runs = 0;
  const run = () => {
    runs += 1;
    return new Promise<void>((resolve) => {
      finish = resolve;
    });
  };
  const job = startJob({ name: 'slow', intervalMs: 1000, clock, logger: silentLogger, run });
  await clock.advance(2000);
  expect([runs, job.missed(), job.lastSuccessMs()]).toEqual([1, 2, undefined]);
  finish();
  await settle();
  await clock.advance(1000);
  expect([runs, job.missed()]).toEqual([2, 2]);
  const stopped = job.stop();
  finish();
  await stopped;
});

test('a run that fails is tried again at the next time', async () => {
  const clock = createFakeClock();
  let runs = 0;
  const run = async () => {
    runs += 1;
    if (runs === 1) throw new Error('not now');
  };
  const job = startJob({ name: 'flaky', intervalMs: 1000, clock, logger: silentLogger, run });
  await settle();
  expect(job.lastSuccessMs()).toBeUndefined();
  await clock.advance(1000);
  expect(job.lastSuccessMs()).toBe(clock.nowMs());
  await job.stop();
});
