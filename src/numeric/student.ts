/**
 * Student's t distribution by the regularized incomplete beta function, whose continued fraction is evaluated by the
 * modified Lentz method (Press et al., "Numerical Recipes", 3rd ed., 6.4). Relative error of a tail about 1e-12.
 */
import { logGamma } from './incomplete-gamma.ts';

const ITERATIONS_MAX = 1_000;
const TINY = 1e-300;

/** The continued fraction of I_x(a, b); converges quickly for x < (a + 1) / (a + b + 2). */
function betaFraction(a: number, b: number, x: number): number {
  const held = (value: number) => (Math.abs(value) < TINY ? TINY : value);
  let c = 1;
  let d = 1 / held(1 - ((a + b) * x) / (a + 1));
  let fraction = d;
  for (let m = 1; m < ITERATIONS_MAX; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    let change = 1;
    for (const numerator of [even, odd]) {
      d = 1 / held(1 + numerator * d);
      c = held(1 + numerator / c);
      change = c * d;
      fraction *= change;
    }
    if (Math.abs(change - 1) <= Number.EPSILON) break;
  }
  return fraction;
}

/** I_x(a, b) for a, b > 0 and 0 <= x <= 1, accurate where it is small; anything else gives NaN. */
export function incompleteBeta(a: number, b: number, x: number): number {
  if (!(a > 0) || !(b > 0) || !(x >= 0 && x <= 1)) return Number.NaN;
  if (x === 0 || x === 1) return x;
  const log = logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x);
  if (x < (a + 1) / (a + b + 2)) return (Math.exp(log) * betaFraction(a, b, x)) / a;
  return 1 - (Math.exp(log) * betaFraction(b, a, 1 - x)) / b;
}

/** Pr(T > t) for `degrees` > 0 degrees of freedom. NaN for NaN. */
export function studentTail(t: number, degrees: number): number {
  if (Number.isNaN(t)) return Number.NaN;
  const tail = incompleteBeta(degrees / 2, 0.5, degrees / (degrees + t * t)) / 2;
  return t > 0 ? tail : 1 - tail;
}
