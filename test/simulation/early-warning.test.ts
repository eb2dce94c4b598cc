/** What the demo rests on: its fleet's crisis is seen coming, and a fleet without one is not accused of it. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createWorkerPool, type WorkerPool } from '../../src/numeric/worker-pool.ts';
import { assess, type RunMetric } from '../../src/resilience/early-warning/assessment.ts';
import { severityRank } from '../../src/resilience/early-warning/severity.ts';
import { createMetricRunner } from '../../src/resilience/early-warning/worker.ts';
import { settleLook, UNLOOKED } from '../../src/resilience/phase-risk/held-risk.ts';
import { type ObservedFleet, observeFleet, slotsUntil } from './observed-fleet.ts';

const MINUTE_MS = 60_000;
const LOOK_MINUTES = 15;
/** Minutes from a look to its effect. */
const EFFECT_MINUTES = 2;
const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
const OPTIONS = {
  surrogates: 199,
  alpha: 0.05,
  detrend: 'GAUSSIAN',
  bandwidth: 0.2,
  rolling: 0.5,
  seed: 1,
} as const;

let pool: WorkerPool;
let run: RunMetric;
beforeAll(() => {
  pool = createWorkerPool({ threads: 2, queueMax: 100 });
  run = createMetricRunner(pool);
});
afterAll(() => pool.close());

/** Minute from which on HIGH or worse held, looking every quarter of an hour; undefined when it never did. */
async function warnedMinute(fleet: ObservedFleet, firstMinute: number): Promise<number | undefined> {
  let risk = UNLOOKED;
  for (let minute = firstMinute; minute <= fleet.passedMinute; minute += LOOK_MINUTES) {
    const limited = { limit: 0.8, direction: 'LOWER' } as const;
    const series = [
      { name: 'utilization', values: slotsUntil(fleet.utilization, minute), ...limited },
      { name: 'load_variance', values: slotsUntil(fleet.loadVariance, minute) },
    ].map((one) => ({ ...one, intervalMs: MINUTE_MS }));
    const atMs = minute * MINUTE_MS;
    const assessment = await assess(series, OPTIONS, run);
    risk = settleLook(
      { ...risk, pending: { atMs, effectMs: atMs + EFFECT_MINUTES * MINUTE_MS } },
      assessment,
    );
    if (severityRank(risk.severity) >= severityRank('HIGH')) return minute + EFFECT_MINUTES;
  }
  return undefined;
}

async function observed(tips: boolean): Promise<ObservedFleet[]> {
  const module = new URL('./observed-fleet.ts', import.meta.url);
  return Promise.all(SEEDS.map((seed) => pool.run<ObservedFleet>(module, observeFleet.name, { seed, tips })));
}

test('a crisis is warned of before load passes .70, for at least 9 of 10 seeds', async () => {
  const fleets = await observed(true);
  const leadMinutes = await Promise.all(
    fleets.map(
      async (fleet) => fleet.passedMinute - ((await warnedMinute(fleet, 360)) ?? fleet.passedMinute),
    ),
  );
  for (const fleet of fleets) expect(fleet.passedMinute).toBeLessThan(fleet.utilization.length);
  expect(leadMinutes.filter((minutes) => minutes > 0).length).toBeGreaterThanOrEqual(9);
}, 60_000);

test('a fleet that never tips is warned of in at most 1 of 10 seeds', async () => {
  const fleets = await observed(false);
  const warned = await Promise.all(fleets.map((fleet) => warnedMinute(fleet, 360)));
  for (const fleet of fleets) expect(fleet.passedMinute).toBe(fleet.utilization.length);
  expect(warned.filter((minute) => minute !== undefined).length).toBeLessThanOrEqual(1);
}, 60_000);
