/** Fields with known laws, as maps in time: exact solutions of transport equations, and noise. */
import { Forecaster, type ForecastMap } from '../../../../src/energy/forecast/forecaster.ts';
import type { Scored } from '../../../../src/energy/forecast/score.ts';
import { runThrough } from '../../../../src/numeric/slices.ts';
import { createRandom } from '../../../../src/random.ts';

export const WIDTH_MS = 10_000;

type Field = (row: number, col: number, t: number) => number;

/** The map of window `at`, wholly observed. */
export function mapAt(
  at: number,
  side: number,
  field: (row: number, col: number) => number,
  over: Partial<ForecastMap> = {},
): ForecastMap {
  const cells = new Float64Array(side * side);
  // Maps are float32 on the wire.
  for (let i = 0; i < cells.length; i++) cells[i] = Math.fround(field(Math.floor(i / side), i % side));
  return {
    rows: side,
    cols: side,
    boundary: 'PERIODIC',
    layout: '1',
    conserves: false,
    startMs: at * WIDTH_MS,
    endMs: (at + 1) * WIDTH_MS,
    cells,
    observed: new Uint8Array(cells.length).fill(1),
    ...over,
  };
}

/** A mean and random waves that drift by (rowShift, colShift) cells a window and decay by nu |k|^2. */
export function waves(
  side: number,
  law: { nu: number; rowShift: number; colShift: number },
  seed = 3,
): Field {
  const random = createRandom(seed);
  const turn = (2 * Math.PI) / side;
  // Shorter waves than a grid can tell from longer ones are none of its own.
  const number = (x: number) => Math.sign(x) * Math.min(Math.round(Math.abs(2 * x)), side / 2 - 1);
  const all = Array.from({ length: 12 }, () => ({
    p: number(random.normal()) * turn,
    q: number(random.normal()) * turn,
    size: random.normal(),
    phase: 2 * Math.PI * random.uniform(),
  }));
  return (row, col, t) =>
    all.reduce(
      (sum, { p, q, size, phase }) =>
        sum +
        size *
          Math.exp(-law.nu * (p * p + q * q) * t) *
          Math.cos(p * (row - law.rowShift * t) + q * (col - law.colShift * t) + phase),
      5,
    );
}

/** Kinetic energy of the Taylor-Green vortices of one period, of viscosity nu; decays as e^(-4 nu t). */
export function taylorGreen(side: number, nu: number): Field {
  const turn = (2 * Math.PI) / side;
  return (row, col, t) => {
    const [x, y] = [col * turn, row * turn];
    const u = Math.cos(x) * Math.sin(y);
    const v = -Math.sin(x) * Math.cos(y);
    return 0.5 * (u * u + v * v) * Math.exp(-4 * nu * t);
  };
}

/** Folds the maps of windows `from` up to but not `to`; the scores of each. */
export function foldField(
  forecaster: Forecaster,
  side: number,
  field: Field,
  [from, to]: readonly [number, number],
  over: Partial<ForecastMap> = {},
): Scored[][] {
  const all: Scored[][] = [];
  for (let at = from; at < to; at++) {
    const map = mapAt(at, side, (row, col) => field(row, col, at), over);
    all.push([...runThrough(forecaster.fold(map))]);
  }
  return all;
}

export function freshForecaster(): Forecaster {
  return new Forecaster();
}
