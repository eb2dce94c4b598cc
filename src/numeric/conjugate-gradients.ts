/**
 * Preconditioned conjugate gradients (M. Hestenes and E. Stiefel, 1952) for A x = b with A symmetric positive definite
 * and known only by its product with a vector. Values must be finite.
 */

/** A x = b. Both functions write to `out`, which never is `x`. */
export interface LinearSystem {
  readonly size: number;
  apply(x: Float64Array, out: Float64Array): void;
  /** An approximate inverse of A, symmetric positive definite; absent for none. */
  precondition?(x: Float64Array, out: Float64Array): void;
}

export interface CgOptions {
  /** Done when |b - A x| <= tolerance |b|, over 0. */
  readonly tolerance: number;
  /** At least 1. */
  readonly iterationsMax: number;
}

export interface CgOutcome {
  readonly converged: boolean;
  readonly iterations: number;
  /** |b - A x| / |b|, computed from x at the end; 0 for b = 0. */
  readonly residual: number;
}

/** The solver of one size. It owns four vectors, so it solves one system at a time. */
export interface CgSolver {
  /**
   * Improves `x`, the first guess, until it solves A x = b. An A that is not positive definite ends it unconverged. One
   * product with A each iteration and one or two more; nothing is allocated.
   */
  solve(system: LinearSystem, b: Float64Array, x: Float64Array, options: CgOptions): CgOutcome;
}

export function createCgSolver(size: number): CgSolver {
  const residual = new Float64Array(size);
  const direction = new Float64Array(size);
  const product = new Float64Array(size);
  const scaled = new Float64Array(size);
  /** Sets the residual b - A x; gives its length. */
  const measure = (system: LinearSystem, b: Float64Array, x: Float64Array): number => {
    system.apply(x, product);
    for (let i = 0; i < size; i++) residual[i] = b[i]! - product[i]!;
    return Math.sqrt(dot(residual, residual));
  };
  const precondition = (system: LinearSystem): number => {
    if (system.precondition) system.precondition(residual, scaled);
    else scaled.set(residual);
    return dot(residual, scaled);
  };
  /** Iterates until the residual carried along is short enough; gives the number of iterations. */
  const descend = (system: LinearSystem, x: Float64Array, enough: number, most: number): number => {
    let slope = precondition(system);
    direction.set(scaled);
    for (let iteration = 0; iteration < most; iteration++) {
      if (Math.sqrt(dot(residual, residual)) <= enough) return iteration;
      system.apply(direction, product);
      const curvature = dot(direction, product);
      if (!(curvature > 0)) return iteration;
      const step = slope / curvature;
      for (let i = 0; i < size; i++) {
        x[i] = x[i]! + step * direction[i]!;
        residual[i] = residual[i]! - step * product[i]!;
      }
      const next = precondition(system);
      const keep = next / slope;
      slope = next;
      for (let i = 0; i < size; i++) direction[i] = scaled[i]! + keep * direction[i]!;
    }
    return most;
  };
  return {
    solve(system, b, x, { tolerance, iterationsMax }) {
      if (system.size !== size) throw new RangeError(`a system of ${system.size}, planned for ${size}`);
      const whole = Math.sqrt(dot(b, b));
      if (whole === 0) {
        x.fill(0);
        return { converged: true, iterations: 0, residual: 0 };
      }
      const enough = tolerance * whole;
      let iterations = 0;
      let length = measure(system, b, x);
      // The residual carried along drifts from the true one, from which the iteration is begun again where it must.
      while (length > enough && iterations < iterationsMax) {
        iterations += descend(system, x, enough, iterationsMax - iterations);
        const before = length;
        length = measure(system, b, x);
        if (!(length < before / 2)) break;
      }
      return { converged: length <= enough, iterations, residual: length / whole };
    },
  };
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
