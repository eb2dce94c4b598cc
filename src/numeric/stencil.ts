/**
 * The words of finite differences on row-major grids: schemes, boundaries, and which cell stands in for one beyond the
 * edge. The differences themselves are compiled (kernels/grid-plan.ts). Second order (SOBEL, CENTRAL2) or fourth order
 * (CENTRAL4) for smooth fields away from an edge that does not continue them.
 */

/** SOBEL: 3x3 over 8 spacings; CENTRAL2: (u[+1] - u[-1]) / 2h; CENTRAL4: (-u[+2] + 8u[+1] - 8u[-1] + u[-2]) / 12h. */
export type GradientScheme = 'SOBEL' | 'CENTRAL2' | 'CENTRAL4';

/**
 * What lies beyond the edge. PERIODIC: the opposite edge; NEUMANN: the mirror image about the edge (c b a | a b c);
 * DIRICHLET: zero. A side of length 1 has zero slope under each.
 */
export type BoundaryRule = 'PERIODIC' | 'NEUMANN' | 'DIRICHLET';

/** Index of the cell that stands at `index` (-2..length+1), or -1 for a zero. */
export function ghostIndex(index: number, length: number, boundary: BoundaryRule): number {
  if (index >= 0 && index < length) return index;
  if (boundary === 'DIRICHLET') return -1;
  if (boundary === 'PERIODIC') return ((index % length) + length) % length;
  const period = 2 * length;
  const folded = ((index % period) + period) % period;
  return folded < length ? folded : period - 1 - folded;
}
