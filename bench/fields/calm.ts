/**
 * How calm the regime of what is stationary stays, as JSON: label flips a window by family of field, and windows between
 * false alarms of change by law: `node bench/fields/calm.js <first seed> <fields> <runs of each law>`.
 */
import { REGIME_DEFAULTS, RegimeTracker } from '../../src/energy/regime/regime-tracker.ts';
import { runThrough } from '../../src/numeric/slices.ts';
import { createRandom, type Random } from '../../src/random.ts';
import type { Field } from './field.ts';
import { labeledField } from './labeled.ts';
import { nextMap } from './samples.ts';
import { gaussianField, MARGINALS, physicalFleet, statisticalFleet, withMarginal } from './stationary.ts';

export interface Calm {
  readonly flips: Readonly<Record<string, { flips: number; windows: number; atRest: number }>>;
  /** Windows asked to be between alarms, those there were in all, and the alarms. */
  readonly alarms: Readonly<Record<string, { asked: number; windows: number; alarms: number }>>;
}

/** Windows before those that are counted: one whole ring, the last few of which are judged. */
const SETTLING = REGIME_DEFAULTS.windows;
const JUDGED = 4;
const COUNTED = 120;

/** Labels of stationary fields, once each has settled. */
function flipsOf(seed: number, fields: number): Calm['flips'] {
  const families: Record<string, { flips: number; windows: number; atRest: number }> = {};
  for (let at = 0; at < fields; at++) {
    const { family, field } = labeledField('EQUILIBRIUM', seed + at);
    families[family] ??= { flips: 0, windows: 0, atRest: 0 };
    const count = families[family];
    const tracker = new RegimeTracker(REGIME_DEFAULTS);
    for (let window = 0; window < SETTLING - JUDGED; window++)
      runThrough(tracker.learn(nextMap(field, window)));
    for (let window = SETTLING - JUDGED; window < SETTLING + COUNTED; window++) {
      const { label, changedFrom } = runThrough(tracker.fold(nextMap(field, window)));
      if (window < SETTLING) continue;
      count.windows++;
      if (changedFrom !== undefined) count.flips++;
      if (label === 'EQUILIBRIUM') count.atRest++;
    }
  }
  return families;
}

const SHAPE = { rows: 4, cols: 5 };
const INTERVAL = 300;
const WINDOWS = 2500;

const LAWS: Readonly<Record<string, (random: Random) => Field>> = {
  'statistical fleet': (random) => statisticalFleet(SHAPE, random),
  'physical fleet': (random) => physicalFleet(SHAPE, random, false),
  'random field with memory': (random) => gaussianField({ ...SHAPE, memory: 0.6, smoothing: 1 }, random),
  'lognormal field': (random) =>
    withMarginal(gaussianField({ ...SHAPE, memory: 0.3, smoothing: 0 }, random), MARGINALS['lognormal']!),
};

/** Alarms of a stream's tracker, which also sees how far each map is from the one before: persistence's VRMSE. */
function alarmsOf(runs: number): Calm['alarms'] {
  const found: Record<string, { asked: number; windows: number; alarms: number }> = {};
  for (const [name, law] of Object.entries(LAWS)) {
    let alarms = 0;
    for (let run = 1; run <= runs; run++) {
      const field = law(createRandom(run, 7));
      const tracker = new RegimeTracker({ windows: 16, falseAlarmWindows: INTERVAL });
      let before: Float64Array | undefined;
      let last: number | undefined;
      for (let at = 0; at < WINDOWS; at++) {
        const map = nextMap(field, at);
        const vrmse = before && vrmseOf(map.cells, before, map.variance);
        before = map.cells;
        runThrough(tracker.learn({ ...map, vrmse }));
        const alarm = tracker.state().changes?.alarm?.at;
        if (alarm !== last) alarms++;
        last = alarm;
      }
    }
    found[name] = { asked: INTERVAL, windows: runs * WINDOWS, alarms };
  }
  return found;
}

function vrmseOf(now: Float64Array, before: Float64Array, variance: number): number {
  const error = now.reduce((sum, value, at) => sum + (value - before[at]!) ** 2 / now.length, 0);
  return Math.sqrt(error / (variance + 1e-7));
}

const [seed, fields, runs] = process.argv.slice(2).map(Number) as [number, number, number];
const calm: Calm = { flips: flipsOf(seed, fields), alarms: alarmsOf(runs) };
process.stdout.write(JSON.stringify(calm));
