/**
 * How often what is true is VERIFIED, and what is not. Honest are predictions of spreading heat, of a drift and of a
 * settled stream's own forecasts, with errors of their models and of the instruments. A forger knows all that, makes up
 * the map predicted or the one observed, and puts everything else said of it right again, but for what was signed.
 */
import { beforeAll, describe, expect, test } from '@jest/globals';
import { Forecaster } from '../../../src/energy/forecast/forecaster.ts';
import { gridDigest } from '../../../src/energy/map/digest.ts';
import type { Interval } from '../../../src/energy/proof/cells.ts';
import { judged } from '../../../src/energy/proof/check.ts';
import { createInstruments, type Evidence, measureSteps } from '../../../src/energy/proof/measure.ts';
import { type Conclusion, conclude } from '../../../src/energy/proof/proof.ts';
import { judgeOrigin, type Origin } from '../../../src/energy/proof/provenance.ts';
import { runThrough } from '../../../src/numeric/slices.ts';
import { createRandom } from '../../../src/random.ts';
import {
  alike,
  anyOrder,
  CELLS,
  held,
  moved,
  noisy,
  randomMap,
  rephased,
  SIDE,
  white,
} from './support/fields.ts';

const NOW_MS = Date.UTC(2026, 0, 2);
const WIDTH_MS = 10_000;
const random = createRandom(2026);
const instruments = createInstruments();
/** What forgers choose from. */
const orders = Array.from({ length: 100 }, () => anyOrder(random));
const noises = Array.from({ length: 100 }, () => white(random));
const anyOf = <Item>(items: readonly Item[]) => items[random.below(items.length)]!;

/** A prediction and what came. */
interface Given {
  readonly before: Float64Array;
  readonly predicted: Float64Array;
  readonly observed: Float64Array;
  readonly interval?: Interval;
  readonly q95?: number;
}

function prove(given: Given, over: Partial<Origin> = {}): Conclusion {
  const { before, predicted, observed, interval, q95 } = given;
  const cells = held(observed);
  const evidence: Evidence = {
    observed: {
      rows: SIDE,
      cols: SIDE,
      cells,
      observed: undefined,
      cellArea: 1,
      spacing: 1,
      boundary: 'PERIODIC',
    },
    predicted,
    interval,
    pointwiseMax: q95,
    // A stream promises no budget.
    ...(interval === undefined && {
      budget: {
        before,
        rule: 'CONSERVATIVE',
        dt: 1,
        sources: 0,
        sinks: 0,
        boundaryFlux: undefined,
        flows: undefined,
      },
      claimedTotal: cells.reduce((sum, value) => sum + value, 0),
    }),
    bounds: { least: 0, greatest: 20 },
  };
  const { checks, faults } = runThrough(measureSteps(evidence, instruments));
  const origin: Origin = {
    digest: gridDigest(new Float32Array(cells), SIDE, SIDE),
    claimedDigest: undefined,
    nonce: new Uint8Array(16),
    signature: undefined,
    capturedAtMs: NOW_MS,
    target: { startMs: NOW_MS - WIDTH_MS, endMs: NOW_MS },
    stream: undefined,
    parentProofId: undefined,
    faults,
    ...over,
  };
  return conclude('PREDICTION', [...checks, judged('PROVENANCE', judgeOrigin(origin, undefined, NOW_MS))]);
}

/** A model that is off by 2 % of what it models, and instruments by 1 % of the spread. */
function physical(law: { nu?: number; rowShift?: number; colShift?: number }): Given {
  const start = randomMap(random);
  const off = 1 + 0.02 * random.normal();
  const amiss = Object.fromEntries(Object.entries(law).map(([name, size]) => [name, size * off]));
  return {
    before: held(noisy(start, 0.01, random)),
    predicted: held(moved(start, amiss)),
    observed: held(noisy(moved(start, law), 0.01, random)),
  };
}

/** Forecasts of a settled pattern by what the stream itself has taught, `count` of them. */
function forecasts(noise: number, count: number): Given[] {
  const pattern = randomMap(random);
  const forecaster = new Forecaster();
  const observed = new Uint8Array(CELLS).fill(1);
  const scores: number[] = [];
  const given: Given[] = [];
  let before = pattern;
  for (let at = 0; given.length < count; at++) {
    const cells = held(noisy(pattern, noise, random));
    if (scores.length >= 64) {
      const { path, halfWidth } = runThrough(forecaster.predict({ steps: 1, coverage: 0.9 }))!;
      const predicted = held(path[0]!);
      const interval = {
        lower: predicted.map((value, cell) => value - halfWidth![cell]!),
        upper: predicted.map((value, cell) => value + halfWidth![cell]!),
        coverage: 0.9,
      };
      const q95 = scores.slice(-64).sort((a, b) => a - b)[61]!;
      given.push({ before, predicted, observed: cells, interval, q95 });
    }
    const [startMs, endMs] = [at * WIDTH_MS, (at + 1) * WIDTH_MS];
    const shape = { rows: SIDE, cols: SIDE, boundary: 'PERIODIC', layout: '1', conserves: false } as const;
    const scored = runThrough(forecaster.fold({ ...shape, startMs, endMs, cells, observed }));
    const one = scored.find(({ horizon }) => horizon === 1);
    if (one && at > 16) scores.push(Math.sqrt(one.relative.at(-1)!));
    before = cells;
  }
  return given;
}

const shareVerified = (proofs: readonly Conclusion[]) =>
  proofs.filter(({ verdict }) => verdict === 'VERIFIED').length / proofs.length;
const meanQuality = (proofs: readonly Conclusion[]) =>
  proofs.reduce((sum, { quality }) => sum + quality, 0) / proofs.length;

describe('proof', () => {
  const honest: Record<'heat' | 'drift' | 'stream', Given[]> = { heat: [], drift: [], stream: [] };
  /** How many forgeries were judged. */
  let forged = 0;

  beforeAll(() => {
    honest.heat = Array.from({ length: 125 }, () => physical({ nu: 0.05 }));
    honest.drift = Array.from({ length: 125 }, () => physical({ rowShift: 0.7, colShift: -1.3 }));
    honest.stream = [0.005, 0.01, 0.02].flatMap((noise) => forecasts(noise, 75));
  }, 60_000);

  test('energy.proof at least 99 % of honest predictions are VERIFIED, with a mean quality of at least 0.93', () => {
    for (const [name, given] of Object.entries(honest)) {
      const proofs = given.map((one) => prove(one));
      expect({ name, verified: shareVerified(proofs) >= 0.99, good: meanQuality(proofs) >= 0.93 }).toEqual({
        name,
        verified: true,
        good: true,
      });
    }
  }, 60_000);

  /** Forges each honest case `times` times, the map predicted and the one observed by turns. */
  const forge = (times: number, make: (cells: Float64Array) => Float64Array) => {
    const proofs = Object.values(honest).flatMap((cases) =>
      cases.flatMap((given) =>
        Array.from({ length: times }, (_, turn) =>
          prove(
            turn % 2 === 0
              ? { ...given, predicted: held(make(given.predicted)) }
              : { ...given, observed: held(make(given.observed)) },
          ),
        ),
      ),
    );
    forged += proofs.length;
    return proofs;
  };

  test.each([
    ['scaled by a tenth to double', (cells: Float64Array) => scaled(cells)],
    ['shuffled', (cells: Float64Array) => shuffled(cells)],
    ['of the same spectrum', (cells: Float64Array) => rephased(cells, anyOf(noises))],
    ['noise of the same mean and spread', (cells: Float64Array) => alike(cells, anyOf(noises))],
  ] as const)(
    'energy.proof maps that are %s are VERIFIED at most once in a thousand times',
    (_name, make) => {
      expect(shareVerified(forge(4, make))).toBeLessThanOrEqual(0.001);
    },
    60_000,
  );

  test('energy.proof a map edited after it was digested, or from another time, is never VERIFIED', () => {
    const proofs = Object.values(honest).flatMap((cases) =>
      cases.flatMap((given) => {
        const claimedDigest = gridDigest(new Float32Array(given.observed), SIDE, SIDE);
        const edited = Array.from({ length: 4 }, () => {
          const observed = given.observed.slice();
          observed[random.below(CELLS)]! *= 1 + 1e-3 * random.normal();
          return prove({ ...given, observed }, { claimedDigest });
        });
        const replayed = [WIDTH_MS + 1, 60_000, 90_000_000, -61_000].map((ageMs) =>
          prove(given, { capturedAtMs: NOW_MS - ageMs }),
        );
        return [...edited, ...replayed];
      }),
    );
    forged += proofs.length;
    expect(new Set(proofs.map(({ verdict }) => verdict))).toEqual(new Set(['REFUTED']));
    expect(forged).toBeGreaterThanOrEqual(10_000);
  }, 60_000);
});

/** By a factor of 0.5 to 0.9, or 1.1 to 2. */
function scaled(cells: Float64Array): Float64Array {
  const factor = random.uniform() < 0.5 ? 0.5 + 0.4 * random.uniform() : 1.1 + 0.9 * random.uniform();
  return cells.map((value) => factor * value);
}

function shuffled(cells: Float64Array): Float64Array {
  const order = anyOf(orders);
  return cells.map((_, at) => cells[order[at]!]!);
}
