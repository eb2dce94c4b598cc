/**
 * How often four values in a row stand in each of their 24 orders, and the entropy of that (C. Bandt and B. Pompe, Phys.
 * Rev. Lett. 88, 174102, 2002). Noise knows every order; a map of the interval forbids some (J. Amigo et al., 2007), which
 * tells its disorder from noise. Four values of which two are equal have no order and are not counted.
 */

/** Orders of four values. */
export const PATTERNS = 24;

/** Place of the order of a, b, c, d among the 24, or -1 for a tie: the digits of Lehmer's code. */
export function patternOf(a: number, b: number, c: number, d: number): number {
  if (a === b || a === c || a === d || b === c || b === d || c === d) return -1;
  const first = (a > b ? 1 : 0) + (a > c ? 1 : 0) + (a > d ? 1 : 0);
  const second = (b > c ? 1 : 0) + (b > d ? 1 : 0);
  return 6 * first + 2 * second + (c > d ? 1 : 0);
}

/** Place of each order when time runs backwards. */
const REVERSED = Int32Array.from({ length: PATTERNS }, (_, pattern) => {
  const ranks = [0, 1, 2, 3];
  const order = [Math.floor(pattern / 6), Math.floor((pattern % 6) / 2), pattern % 2, 0].map(
    (nth) => ranks.splice(nth, 1)[0]!,
  );
  return patternOf(order[3]!, order[2]!, order[1]!, order[0]!);
});

/** Entropy of the counts as a share of ln 24: 1 when all orders are as frequent, undefined without counts. O(24). */
export function patternEntropy(counts: ArrayLike<number>): number | undefined {
  let total = 0;
  for (let at = 0; at < PATTERNS; at++) total += counts[at]!;
  if (total === 0) return undefined;
  let entropy = 0;
  for (let at = 0; at < PATTERNS; at++) {
    const share = counts[at]! / total;
    if (share > 0) entropy -= share * Math.log(share);
  }
  return entropy / Math.log(PATTERNS);
}

/**
 * Half the sum of |share of an order - share of the same backwards|, 0..1: 0 for what looks alike forwards and backwards,
 * as Gaussian noise of any spectrum does; undefined without counts. O(24).
 */
export function patternIrreversibility(counts: ArrayLike<number>): number | undefined {
  let total = 0;
  let apart = 0;
  for (let at = 0; at < PATTERNS; at++) {
    total += counts[at]!;
    apart += Math.abs(counts[at]! - counts[REVERSED[at]!]!);
  }
  return total === 0 ? undefined : apart / (2 * total);
}
