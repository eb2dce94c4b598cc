import { afterEach, describe, expect, test } from '@jest/globals';
import { type LoadSignals, watchLoad } from '../../src/rpc/load-signals.ts';
import { until } from './edge-world.ts';

let load: LoadSignals;
afterEach(() => load.stop());

/** Holds the event loop. */
function block(durationMs: number): void {
  const untilMs = performance.now() + durationMs;
  while (performance.now() < untilMs);
}

describe('the load of a process', () => {
  test('tells how late the event loop was, once', async () => {
    load = watchLoad(() => []);
    let latest = 0;
    await until(() => {
      block(120);
      latest = load.loopDelayMs();
      return latest > 80;
    }, 'a delay');
    expect(latest).toBeLessThan(5_000);
  });

  test('tells what share of the heap is used, and what the store says of its commits', () => {
    load = watchLoad(() => [0.5, 0.25]);
    const share = load.heapShare();
    expect(share).toBeGreaterThan(0);
    expect(share).toBeLessThan(1);
    expect(load.commitSeconds()).toEqual([0.5, 0.25]);
  });
});
