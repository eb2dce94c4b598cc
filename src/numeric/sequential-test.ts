/**
 * Sequential Monte Carlo test (Besag and Clifford, "Sequential Monte Carlo p-values", Biometrika 78, 1991): values of
 * a statistic are drawn under the null hypothesis until a fixed number of them reach the observed one, or until a
 * greatest number is drawn. Clear absence of an effect costs few draws, and p never promises more than the draws
 * carry: under the null, Pr(p <= a) <= a for every a.
 */

/** Exceedances at which drawing ends: then p has a relative standard error of about 1/3. */
const EXCEEDANCES = 10;

/** One test under way. Its invariant: nothing is taken once it has ended. */
export class SequentialTest {
  /** The statistic of what was observed. */
  readonly observed: number;
  private readonly drawsMax: number;
  private readonly values: number[] = [];
  private exceedances = 0;

  /** `drawsMax` is at least `EXCEEDANCES`; a larger statistic is more extreme. */
  constructor(observed: number, drawsMax: number) {
    this.observed = observed;
    this.drawsMax = drawsMax;
  }

  /** Values drawn so far. */
  get draws(): number {
    return this.values.length;
  }

  get ended(): boolean {
    return this.exceedances === EXCEEDANCES || this.values.length >= this.drawsMax;
  }

  /** Takes the next value drawn under the null hypothesis; ignored once the test has ended. */
  add(value: number): void {
    if (this.ended) return;
    this.values.push(value);
    // Equal values count: the statistic may be discrete.
    if (value >= this.observed) this.exceedances++;
  }

  /** Probability under the null of a statistic at least as large, in (0, 1]. */
  get p(): number {
    const { exceedances, draws } = this;
    return exceedances === EXCEEDANCES ? exceedances / draws : (exceedances + 1) / (draws + 1);
  }

  /** The value that a share `alpha` of those drawn lie above; NaN before the first. O(n log n). */
  threshold(alpha: number): number {
    const sorted = Float64Array.from(this.values).sort();
    return sorted[Math.min(sorted.length - 1, Math.floor((1 - alpha) * sorted.length))] ?? Number.NaN;
  }
}
