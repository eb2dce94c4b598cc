/**
 * Eigenvalues and eigenvectors of a real symmetric matrix by cyclic Jacobi rotations (Golub and Van Loan, "Matrix
 * Computations", 8.5). Small matrices only: at most 64 a side, O(n^3) a sweep, 6 to 10 sweeps. Only additions,
 * multiplications, divisions and square roots, so the same matrix gives the same bits on every machine.
 */

/** Largest side `symmetricEigen` accepts. */
export const EIGEN_SIDE_MAX = 64;

const SWEEPS_MAX = 60;

/**
 * Eigensystem of the symmetric n x n matrix in `matrix` (row-major, both halves; destroyed). Writes eigenvalues to
 * `values` (unordered) and the unit eigenvector of `values[k]` to row k of `vectors`. Squares of the entries must
 * neither overflow nor vanish.
 */
export function symmetricEigen(
  matrix: Float64Array,
  n: number,
  values: Float64Array,
  vectors: Float64Array,
): void {
  if (n > EIGEN_SIDE_MAX) throw new RangeError(`a side of ${n} is over ${EIGEN_SIDE_MAX}`);
  vectors.fill(0, 0, n * n);
  for (let i = 0; i < n; i++) vectors[i * n + i] = 1;
  // Off-diagonal entries this small move no eigenvalue by more than rounding already does.
  const negligible = (Number.EPSILON / (4 * n)) ** 2 * squaredNorm(matrix, n, 0);
  for (let sweep = 0; sweep < SWEEPS_MAX; sweep++) {
    // The first sweeps spend their rotations on the larger entries (Rutishauser's threshold).
    const worth = sweep < 3 ? (0.04 * squaredNorm(matrix, n, 1)) / (n * n) : 0;
    const threshold = Math.max(worth, negligible);
    let rotated = false;
    for (let p = 0; p < n - 1; p++) {
      for (let q = p + 1; q < n; q++) {
        const off = matrix[p * n + q]!;
        if (off * off <= threshold) continue;
        rotate(matrix, n, p, q, vectors);
        rotated = true;
      }
    }
    if (!rotated && threshold === negligible) break;
  }
  for (let i = 0; i < n; i++) values[i] = matrix[i * n + i]!;
}

/** Sum of squares of the entries on and above the diagonal `offset` places above the main one, doubled beside it. */
function squaredNorm(matrix: Float64Array, n: number, offset: number): number {
  let sum = 0;
  for (let i = 0; i < n; i++) {
    for (let j = i + offset; j < n; j++) sum += (i === j ? 1 : 2) * matrix[i * n + j]! * matrix[i * n + j]!;
  }
  return sum;
}

/** Zeroes the entry (p, q), p < q, which is not 0, by one rotation. */
function rotate(a: Float64Array, n: number, p: number, q: number, vectors: Float64Array): void {
  const rowP = p * n;
  const rowQ = q * n;
  const off = a[rowP + q]!;
  const app = a[rowP + p]!;
  const aqq = a[rowQ + q]!;
  const theta = (aqq - app) / (2 * off);
  const root = Math.sqrt(theta * theta + 1);
  const t = theta >= 0 ? 1 / (theta + root) : 1 / (theta - root);
  const c = 1 / Math.sqrt(t * t + 1);
  const s = t * c;
  // Rows p and q are kept whole and copied to their columns, which keeps the inner loop on contiguous memory.
  for (let k = 0; k < n; k++) {
    const x = a[rowP + k]!;
    const y = a[rowQ + k]!;
    const newX = c * x - s * y;
    const newY = s * x + c * y;
    a[rowP + k] = newX;
    a[rowQ + k] = newY;
    a[k * n + p] = newX;
    a[k * n + q] = newY;
    const u = vectors[rowP + k]!;
    const v = vectors[rowQ + k]!;
    vectors[rowP + k] = c * u - s * v;
    vectors[rowQ + k] = s * u + c * v;
  }
  a[rowP + p] = app - t * off;
  a[rowQ + q] = aqq + t * off;
  a[rowP + q] = 0;
  a[rowQ + p] = 0;
}

/**
 * Inverse symmetric root of a symmetric matrix, eigenvalues below `floor` raised to it: V diag(max(l, floor)^-1/2) V'.
 * `matrix` (n x n, row-major) is destroyed; the root is written to `out`. `workspace` holds n * n + n numbers.
 */
export function inverseSymmetricRoot(
  matrix: Float64Array,
  n: number,
  floor: number,
  workspace: Float64Array,
  out: Float64Array,
): void {
  const values = workspace.subarray(0, n);
  const vectors = workspace.subarray(n, n + n * n);
  symmetricEigen(matrix, n, values, vectors);
  out.fill(0, 0, n * n);
  for (let k = 0; k < n; k++) {
    const scale = 1 / Math.sqrt(Math.sqrt(Math.max(values[k]!, floor)));
    const row = k * n;
    for (let i = 0; i < n; i++) vectors[row + i] = scale * vectors[row + i]!;
    for (let i = 0; i < n; i++) {
      const left = vectors[row + i]!;
      for (let j = 0; j < n; j++) out[i * n + j] = out[i * n + j]! + left * vectors[row + j]!;
    }
  }
}
