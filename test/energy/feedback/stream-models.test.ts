/** Models that learn: promoted after a shift, rolled back when they were poisoned, and the same bits after a restart. */
import { describe, expect, test } from '@jest/globals';
import {
  RIVAL_CELLS_MAX,
  StreamModels,
  type StreamModelsState,
} from '../../../src/energy/feedback/stream-models.ts';
import { runThrough } from '../../../src/numeric/slices.ts';
import { mapAt } from '../forecast/support/fields.ts';
import { foldPatterns, type Pattern, told } from './support/shifting.ts';

const SIDE = 4;
/** Thousands of windows take a while on a busy machine. */
const LONG_MS = 120_000;
/** The pattern changes for good as the first shadow starts. */
const SHIFT = 256;
const shifted: Pattern = (at) => (at < SHIFT ? 0 : 1);
/** The new pattern was junk, which the second shadow knows nothing but: it lasts until that is promoted. */
const JUNK = 1_281;
const junk: Pattern = (at) => (at >= JUNK && at < JUNK + 280 ? 1 : 0);

const copied = (models: StreamModels): StreamModelsState => structuredClone(models.state());

describe('energy.feedback models of a stream', () => {
  test(
    'energy.feedback after a shift a fresh model is promoted, on evidence that its card tells',
    () => {
      const models = new StreamModels();
      const changes = foldPatterns(models, SIDE, shifted, [0, 600]);
      expect(changes.map((change) => `${change.at}: ${told(change)}`)).toEqual([
        '0: 1 ACTIVE STARTED',
        '255: 2 SHADOW STARTED',
        '512: 1 RETIRED SUPERSEDED',
        '512: 2 ACTIVE BETTER',
      ]);
      const [, , retired, promoted] = changes.map(({ card }) => card);
      expect(promoted).toMatchObject({ pairs: 256, scored: 256 });
      expect(promoted!.pBetter).toBeLessThan(0.05);
      expect(retired!.vrmse).toBeGreaterThan(promoted!.vrmse!);
      expect(models.active.windows).toBe(600 - 256);
      expect(models.cards().map(({ record }) => record.modelVersion)).toEqual([2, 1]);
    },
    LONG_MS,
  );

  test(
    'energy.feedback a model that junk got promoted is rolled back once the junk is over',
    () => {
      const models = new StreamModels();
      const changes = foldPatterns(models, SIDE, junk, [0, JUNK + 700]).slice(5);
      expect(changes.map(told).slice(0, 3)).toEqual([
        '3 ACTIVE BETTER',
        expect.stringMatching(/^3 RETIRED (WORSE|DRIFT)$/),
        expect.stringMatching(/^1 ACTIVE (WORSE|DRIFT)$/),
      ]);
      expect(changes[1]!.at).toBeLessThan(JUNK + 700);
    },
    LONG_MS,
  );

  test(
    'energy.feedback a promoted model whose learning is corrupted is rolled back',
    () => {
      const models = new StreamModels();
      foldPatterns(models, SIDE, shifted, [0, 600]);
      const state = copied(models);
      const { climatology, stencil } = state.active.models!;
      climatology.mean.fill(-300);
      // Its long memory goes on answering, however badly.
      climatology.errors[0] = -1e30;
      for (const values of Object.values(stencil)) if (values instanceof Float64Array) values.reverse();
      const poisoned = new StreamModels(state);
      const changes = foldPatterns(poisoned, SIDE, shifted, [600, 900]);
      expect(changes.map(told).slice(0, 2)).toEqual([
        expect.stringMatching(/^2 RETIRED (WORSE|DRIFT)$/),
        expect.stringMatching(/^1 ACTIVE (WORSE|DRIFT)$/),
      ]);
      const healthy = new StreamModels(copied(models));
      const untouched = foldPatterns(healthy, SIDE, shifted, [600, 900]);
      expect(untouched.filter(({ to }) => to === 'RETIRED')).toEqual([]);
    },
    LONG_MS,
  );

  test(
    'energy.feedback goes on after a restart anywhere with the same bits',
    () => {
      const straight = new StreamModels();
      const expected = foldPatterns(straight, SIDE, shifted, [0, 540]);
      for (const cuts of [[256], [100, 300, 513]]) {
        let models = new StreamModels();
        const changes = [];
        for (const [nth, to] of [...cuts, 540].entries()) {
          changes.push(...foldPatterns(models, SIDE, shifted, [nth === 0 ? 0 : cuts[nth - 1]!, to]));
          models = new StreamModels(copied(models));
        }
        expect(changes).toEqual(expected);
        expect(models.state()).toEqual(straight.state());
      }
    },
    LONG_MS,
  );

  test(
    'energy.feedback large maps have no rival',
    () => {
      const models = new StreamModels();
      const side = 65;
      expect(side * side).toBeGreaterThan(RIVAL_CELLS_MAX);
      foldPatterns(models, 2, () => 0, [0, 300]);
      expect(models.roster.rival?.role).toBe('SHADOW');
      const { changes } = runThrough(models.fold(mapAt(300, side, () => 1)));
      expect(changes.map(told)).toEqual(['2 RETIRED NOT_BETTER']);
      expect(models.cards()).toHaveLength(1);
    },
    LONG_MS,
  );
});
