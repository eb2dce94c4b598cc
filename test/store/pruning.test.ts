/** Dropping what is past its retention, over and over. */
import { expect, test } from '@jest/globals';
import type { Logger } from '../../src/observability.ts';
import { startPruning } from '../../src/store/pruning.ts';
import { createFakeClock, settle } from '../support/fake-clock.ts';
import { silentLogger } from '../support/stores.ts';

test('prunes each interval, one run at a time, goes on after a failure, and ends with the run under way', async () => {
  const clock = createFakeClock();
  const warnings: string[] = [];
  const logger = {
    ...silentLogger,
    warn: (_: object, text: string) => warnings.push(text),
  } as unknown as Logger;
  const begunMs: number[] = [];
  const runs: { end: () => void; fail: (error: Error) => void }[] = [];
  const startMs = clock.nowMs();
  const pruning = startPruning({
    clock,
    logger,
    intervalMs: 1_000,
    prune: (nowMs) =>
      new Promise<void>((end, fail) => {
        begunMs.push(nowMs - startMs);
        runs.push({ end, fail });
      }),
    failed: 'it failed',
  });
  await clock.advance(3_500);
  expect(begunMs).toEqual([1_000]);
  runs[0]!.fail(new Error('no disk'));
  await settle();
  await clock.advance(1_000);
  expect([begunMs, warnings]).toEqual([[1_000, 4_000], ['it failed']]);

  let stopped = false;
  const stopping = pruning.stop().then(() => {
    stopped = true;
  });
  await settle();
  expect([stopped, clock.pending()]).toEqual([false, 0]);
  runs[1]!.end();
  await stopping;
  await clock.advance(5_000);
  expect(begunMs).toHaveLength(2);
});
