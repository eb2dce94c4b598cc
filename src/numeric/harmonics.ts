/**
 * Seasons by harmonic regression: the mean, a slope and the first harmonics of each period are fitted together by least
 * squares, and the harmonics are the season. Mean and slope are fitted along so that a drift is not taken for a season;
 * they stay in the series. Periods are in samples.
 */

/** A column is left out when the earlier ones explain all but this share of its sum of squares. */
const UNEXPLAINED_MIN = 1e-9;

/** Finds the season of series of one length. */
export interface HarmonicRegression {
  readonly length: number;
  /** Writes the season to `out`, which may be `values`; 0 throughout without periods. Allocates nothing. */
  season(values: Float64Array, out: Float64Array): void;
}

/** One sine or cosine, and the row of the pseudo-inverse that gives its coefficient. */
interface Harmonic {
  readonly wave: Float64Array;
  readonly weights: Float64Array;
}

/**
 * A plan for `length` samples and the first `harmonics` of each period, in samples; those the grid cannot carry (under
 * 2 samples) or that repeat another are left out. O(length columns^2) once, O(length columns) a season.
 */
export function createHarmonicRegression(
  length: number,
  periods: readonly number[],
  harmonics: number,
): HarmonicRegression {
  const found = periods.length === 0 ? [] : solve(columnsOf(length, periods, harmonics));
  const coefficients = new Float64Array(found.length);
  return {
    length,
    season(values, out) {
      const origin = values[0]!;
      for (let k = 0; k < found.length; k++) {
        const { weights } = found[k]!;
        let sum = 0;
        for (let t = 0; t < length; t++) sum += weights[t]! * (values[t]! - origin);
        coefficients[k] = sum;
      }
      out.fill(0);
      for (let k = 0; k < found.length; k++) {
        const { wave } = found[k]!;
        const coefficient = coefficients[k]!;
        for (let t = 0; t < length; t++) out[t] = out[t]! + coefficient * wave[t]!;
      }
    },
  };
}

/** Mean, slope, then a cosine and a sine of each harmonic. */
function columnsOf(length: number, periods: readonly number[], harmonics: number): Float64Array[] {
  const column = (at: (t: number) => number) => Float64Array.from({ length }, (_, t) => at(t));
  const columns = [column(() => 1), column((t) => (2 * t + 1) / length - 1)];
  for (const period of periods) {
    for (let k = 1; k <= harmonics && period / k >= 2; k++) {
      const turn = (2 * Math.PI * k) / period;
      columns.push(
        column((t) => Math.cos(turn * t)),
        column((t) => Math.sin(turn * t)),
      );
    }
  }
  return columns;
}

/** The columns after mean and slope with their rows of the pseudo-inverse, by an orthogonal basis Q and R = Q'A. */
function solve(columns: readonly Float64Array[]): Harmonic[] {
  const kept: Float64Array[] = [];
  const basis: Float64Array[] = [];
  for (const column of columns) {
    const rest = Float64Array.from(column);
    // Twice: what rounding leaves of the earlier directions goes as well (W. Kahan's "twice is enough").
    for (let again = 0; again < 2; again++) {
      for (const direction of basis) addMultiple(rest, -dot(direction, rest), direction);
    }
    const left = dot(rest, rest);
    if (left <= UNEXPLAINED_MIN * dot(column, column)) continue;
    const scale = 1 / Math.sqrt(left);
    kept.push(column);
    basis.push(rest.map((value) => value * scale));
  }
  // Back substitution on whole rows: R X = Q', from the last row up.
  const rows: Float64Array[] = [];
  for (let k = kept.length - 1; k >= 0; k--) {
    const direction = basis[k]!;
    const row = Float64Array.from(direction);
    for (let j = kept.length - 1; j > k; j--) addMultiple(row, -dot(direction, kept[j]!), rows[j]!);
    const scale = 1 / dot(direction, kept[k]!);
    rows[k] = row.map((value) => value * scale);
  }
  return kept.map((wave, k) => ({ wave, weights: rows[k]! })).slice(2);
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let t = 0; t < a.length; t++) sum += a[t]! * b[t]!;
  return sum;
}

/** a += factor * b. */
function addMultiple(a: Float64Array, factor: number, b: Float64Array): void {
  for (let t = 0; t < a.length; t++) a[t] = a[t]! + factor * b[t]!;
}
