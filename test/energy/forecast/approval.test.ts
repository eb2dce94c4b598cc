/** What speaks against a forecast: each rule at its edge. */
import { expect, test } from '@jest/globals';
import { type Evidence, refusalsOf } from '../../../src/energy/forecast/approval.ts';
import { ForecastBasis, ForecastRefusal } from '../../../src/gen/homeostat/energy/v1/energy_service_pb.ts';

const GOOD: Evidence = {
  basis: ForecastBasis.STREAM,
  posterior: [0.51, 0.49, 0, 0, 0],
  score: { count: 64, errors: [], vrmse: [], recent: [] },
  skill: 0,
  coverage: 0.9,
  covered: [0.5, 0.8, 0.86, 0.95, 0.99],
};
const refusals = (change: Partial<Evidence>) => refusalsOf({ ...GOOD, ...change });
const scored = (count: number) => ({ ...GOOD.score, count });

test('a forecast that meets every rule is approved', () => {
  expect(refusals({})).toEqual([]);
  expect(refusals({ basis: ForecastBasis.HISTORY })).toEqual([]);
});

test('each rule that is not met is named', () => {
  expect(refusals({ basis: ForecastBasis.PERSISTENCE_ONLY })).toEqual([ForecastRefusal.PERSISTENCE_ONLY]);
  expect(refusals({ posterior: [0.5, 0.5, 0, 0, 0] })).toEqual([ForecastRefusal.NOT_EQUILIBRIUM]);
  expect(refusals({ posterior: [0, 0, 0, 0, 1] })).toEqual([ForecastRefusal.NOT_EQUILIBRIUM]);
  expect(refusals({ score: scored(63) })).toEqual([ForecastRefusal.FEW_SCORES]);
  expect(refusals({ covered: [0.5, 0.8, 0.84, 0.95, 0.99] })).toEqual([ForecastRefusal.COVERAGE]);
  expect(refusals({ covered: [0.5, 0.8, 0.96, 0.95, 0.99] })).toEqual([ForecastRefusal.COVERAGE]);
  expect(refusals({ covered: undefined })).toEqual([ForecastRefusal.COVERAGE]);
  expect(refusals({ skill: -0.01 })).toEqual([ForecastRefusal.NO_SKILL]);
});

test('all that is not met is named, in the order of the contract', () => {
  const worst = { basis: ForecastBasis.PERSISTENCE_ONLY, posterior: [0, 1, 0, 0, 0], skill: -1 };
  expect(refusals({ ...worst, score: scored(3), covered: undefined })).toEqual([1, 2, 3, 4, 5]);
  expect(refusals({ score: scored(0), skill: -1 })).toEqual([ForecastRefusal.FEW_SCORES]);
});

test('coverage is judged at the one asked for, blended between those that are followed', () => {
  const covered = [0.5, 0.7, 0.9, 0.95, 0.99];
  expect(refusals({ coverage: 0.8, covered })).toEqual([ForecastRefusal.COVERAGE]);
  expect(refusals({ coverage: 0.84, covered })).toEqual([ForecastRefusal.COVERAGE]);
  expect(refusals({ coverage: 0.86, covered })).toEqual([]);
  expect(refusals({ coverage: 0.5, covered })).toEqual([]);
  expect(refusals({ coverage: 0.99, covered: [0, 0, 0, 0, 0.93] })).toEqual([ForecastRefusal.COVERAGE]);
});
