/**
 * How every benchmark is judged: two sides measured in turn in the same run (A B A B ...), their ratio taken pair by
 * pair, the median of the ratios with its 95 % interval. A bench fails only when the whole interval lies under its
 * bar, since identical programs differ from run to run. Rates are per second; more is better.
 */

/** How long to measure. */
export interface BenchOptions {
  /** A/B pairs; at least 9 for a verdict. */
  readonly pairs: number;
  /** Seconds of each measured side of a pair; at least 5 for a verdict. */
  readonly seconds: number;
}

/** A further condition of a row, such as a latency ratio at half load. */
export interface BenchCheck {
  readonly name: string;
  readonly value: number;
  /** The value must not exceed it. */
  readonly atMost: number;
}

/** The outcome of one comparison. */
export interface BenchRow {
  readonly id: string;
  readonly title: string;
  /** Least ratio that is accepted. */
  readonly bar: number;
  /** Median of `a / b` over the pairs. */
  readonly ratio: number;
  /** 95 % interval of that median. */
  readonly low: number;
  readonly high: number;
  /** Median rates of both sides, in `unit`. */
  readonly rateA: number;
  readonly rateB: number;
  readonly unit: string;
  readonly pairs: number;
  readonly checks: readonly BenchCheck[];
  /** What a reader should know beside the numbers. */
  readonly notes: readonly string[];
}

/** A bench that could not run here, and what to install. */
export interface BenchSkipped {
  readonly id: string;
  readonly title: string;
  readonly skipped: string;
}

/** One program of the table in `bench/main.ts`. A bench with several comparisons gives several rows. */
export interface Bench {
  /** `P1`, as named on the command line. */
  readonly id: string;
  readonly title: string;
  readonly bar: number;
  run(options: BenchOptions): Promise<BenchRow | BenchSkipped | readonly (BenchRow | BenchSkipped)[]>;
}

/** What is compared with what. */
export interface Comparison {
  readonly id: string;
  readonly name: string;
  readonly bar: number;
  /** Unit of both rates, `calls/s`. */
  readonly unit: string;
  readonly pairs: number;
  /** Runs the product once and gives its rate. */
  readonly a: () => Promise<number>;
  /** Runs the baseline once and gives its rate. */
  readonly b: () => Promise<number>;
  readonly checks?: readonly BenchCheck[];
  readonly notes?: readonly string[];
}

/**
 * Warms both sides with one run each that does not count, then measures `pairs` pairs, A first in each. Prints one
 * line per pair to standard error.
 */
export async function runPairs(comparison: Comparison): Promise<BenchRow> {
  const { id, name, bar, unit, pairs, a, b } = comparison;
  await a();
  await b();
  const ratesA: number[] = [];
  const ratesB: number[] = [];
  const ratios: number[] = [];
  for (let pair = 1; pair <= pairs; pair++) {
    const rateA = await a();
    const rateB = await b();
    ratesA.push(rateA);
    ratesB.push(rateB);
    ratios.push(rateA / rateB);
    console.error(`${id} ${pair}/${pairs}: ${format(rateA)} / ${format(rateB)} = ${format(rateA / rateB)}`);
  }
  const { low, high } = medianInterval(ratios);
  return {
    id,
    title: name,
    bar,
    ratio: median(ratios),
    low,
    high,
    rateA: median(ratesA),
    rateB: median(ratesB),
    unit,
    pairs,
    checks: comparison.checks ?? [],
    notes: comparison.notes ?? [],
  };
}

/** Whether a row meets its bar: some of its interval reaches it, and no check is exceeded. */
export function meetsBar(row: BenchRow): boolean {
  return row.high >= row.bar && row.checks.every((check) => check.value <= check.atMost);
}

/** Middle of the values; mean of the two middle ones for an even count. NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((x, y) => x - y);
  const middle = sorted.length >> 1;
  if (sorted.length === 0) return Number.NaN;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/**
 * The distribution-free interval of the median between two order statistics (Hahn and Meeker, "Statistical
 * Intervals", 1991, section 5.2): the number of values under the median is Binomial(n, 1/2), so the interval from the
 * k-th smallest to the k-th greatest covers it with probability 1 - 2 P(X < k). The greatest k with at least 95 % is
 * taken; under 6 values no interval reaches that, and the whole range is given.
 */
export function medianInterval(values: readonly number[]): { low: number; high: number } {
  const sorted = [...values].sort((x, y) => x - y);
  const n = sorted.length;
  if (n === 0) return { low: Number.NaN, high: Number.NaN };
  let probability = 0.5 ** n; // P(X = 0)
  let below = probability; // P(X < k)
  let k = 1;
  for (;;) {
    probability *= (n - k + 1) / k; // P(X = k)
    if (2 * (below + probability) > 0.05) break;
    below += probability;
    k++;
  }
  return { low: sorted[k - 1]!, high: sorted[n - k]! };
}

/** A number for people: three significant digits under 1,000, whole above. */
export function format(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  return Math.abs(value) >= 1000 ? Math.round(value).toLocaleString('en-US') : value.toPrecision(3);
}
