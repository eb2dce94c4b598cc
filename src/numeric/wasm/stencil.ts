/**
 * Differences on grids of doubles, row-major, under a boundary rule (any number but those below is DIRICHLET, zero
 * beyond the edge). Results are written for rows `fromRow..toRow`, a band with the bits of the whole; outputs may not be
 * the input. Whole rows are taken where they lie, ghost rows included: a mirrored or opposite row, or `blank`, a row of
 * zeros in the scratch memory.
 */

const PERIODIC: i32 = 0;
const NEUMANN: i32 = 1;

/** Ghost cells on either side of a padded row. */
const REACH: i32 = 2;

/** Doubles of a padded row: two ghosts on either side, then up to whole vectors. */
function paddedLength(cols: i32): i32 {
  return (cols + 2 * REACH + 3) & ~1;
}

/** Index of the cell that the boundary rule puts at `index`, up to two beyond either end; -1 for a zero. */
function ghost(index: i32, length: i32, boundary: i32): i32 {
  if (index >= 0 && index < length) return index;
  if (boundary === PERIODIC) return ((index % length) + length) % length;
  if (boundary !== NEUMANN) return -1;
  const period = 2 * length;
  const folded = ((index % period) + period) % period;
  return folded < length ? folded : period - 1 - folded;
}

/** Address of row `i`, up to two beyond the edge. */
function rowAt(values: usize, i: i32, rows: i32, cols: i32, boundary: i32, blank: usize): usize {
  const row = ghost(i, rows, boundary);
  return row < 0 ? blank : values + (row as usize) * cols * 8;
}

/** Value of a row at a column up to two beyond the edge. */
function cellAt(row: usize, j: i32, cols: i32, boundary: i32): f64 {
  const col = ghost(j, cols, boundary);
  return col < 0 ? 0 : load<f64>(row + col * 8);
}

/** Fills the ghosts of a padded row. */
function pad(row: usize, cols: i32, boundary: i32): void {
  const cells = row + REACH * 8;
  for (let g = 1; g <= REACH; g++) {
    store<f64>(cells - g * 8, cellAt(cells, -g, cols, boundary));
    store<f64>(cells + (cols - 1 + g) * 8, cellAt(cells, cols - 1 + g, cols, boundary));
  }
}

/** Copies a row to the cells of a padded one, and pads it. */
function copyPadded(from: usize, to: usize, cols: i32, boundary: i32): void {
  const cells = to + REACH * 8;
  let j = 0;
  for (; j + 1 < cols; j += 2) v128.store(cells + j * 8, v128.load(from + j * 8));
  if (j < cols) store<f64>(cells + j * 8, load<f64>(from + j * 8));
  pad(to, cols, boundary);
}

/** Stores two results at column j of a row, or one where the row ends. */
function put(out: usize, j: i32, cols: i32, value: v128): void {
  if (j + 1 < cols) v128.store(out + j * 8, value);
  else v128.store64_lane(out + j * 8, value, 0);
}

/** keep u + scale (north + south + east + west - 4 u). `blank` is scratch of a padded row. */
export function laplacian(
  values: usize,
  rows: i32,
  cols: i32,
  boundary: i32,
  fromRow: i32,
  toRow: i32,
  keep: f64,
  scale: f64,
  out: usize,
  blank: usize,
): void {
  const kept = f64x2.splat(keep);
  const scaled = f64x2.splat(scale);
  const four = f64x2.splat(4);
  memory.fill(blank, 0, paddedLength(cols) * 8);
  for (let i = fromRow; i < toRow; i++) {
    const above = rowAt(values, i - 1, rows, cols, boundary, blank);
    const own = rowAt(values, i, rows, cols, boundary, blank);
    const below = rowAt(values, i + 1, rows, cols, boundary, blank);
    const to = out + (i as usize) * cols * 8;
    // The first cell, the last and, where pairs do not come out, the one before it alone.
    let j = 1;
    for (; j + 2 < cols; j += 2) {
      const at = j * 8;
      const u = v128.load(own + at);
      const down = f64x2.add(v128.load(above + at), v128.load(below + at));
      const across = f64x2.add(v128.load(own + at - 8), v128.load(own + at, 8));
      const apart = f64x2.sub(f64x2.add(down, across), f64x2.mul(four, u));
      v128.store(to + at, f64x2.add(f64x2.mul(kept, u), f64x2.mul(scaled, apart)));
    }
    for (let k = 0; k < cols; k = k === 0 ? j : k + 1) {
      const u = load<f64>(own + k * 8);
      const down = load<f64>(above + k * 8) + load<f64>(below + k * 8);
      const across = cellAt(own, k - 1, cols, boundary) + cellAt(own, k + 1, cols, boundary);
      store<f64>(to + k * 8, keep * u + scale * (down + across - 4 * u));
    }
  }
}

/** A column of the row `row`, or 0 beyond the edge; `col` comes from `ghost`. */
function columnAt(row: usize, col: i32): f64 {
  return col < 0 ? 0 : load<f64>(row + col * 8);
}

/**
 * Slopes down (outRow) and across (outCol): (next - last) of `side` last neighbor + `center` own + `side` next across
 * the direction, times a scale for each. SOBEL has 1/4 and 1/2, CENTRAL2 0 and 1. `blank` is scratch of a padded row.
 */
export function slopes(
  values: usize,
  rows: i32,
  cols: i32,
  boundary: i32,
  fromRow: i32,
  toRow: i32,
  side: f64,
  center: f64,
  scaleRow: f64,
  scaleCol: f64,
  outRow: usize,
  outCol: usize,
  blank: usize,
): void {
  memory.fill(blank, 0, paddedLength(cols) * 8);
  // A side of one cell has no neighbors to smooth over.
  const sideRow = rows > 1 ? side : 0;
  const centerRow = rows > 1 ? center : 1;
  const sideCol = cols > 1 ? side : 0;
  const centerCol = cols > 1 ? center : 1;
  for (let i = fromRow; i < toRow; i++) {
    const above = rowAt(values, i - 1, rows, cols, boundary, blank);
    const own = rowAt(values, i, rows, cols, boundary, blank);
    const below = rowAt(values, i + 1, rows, cols, boundary, blank);
    const down = outRow + (i as usize) * cols * 8;
    const across = outCol + (i as usize) * cols * 8;
    const inner = slopesInside(
      above,
      own,
      below,
      cols,
      sideRow,
      centerRow,
      sideCol,
      centerCol,
      scaleRow,
      scaleCol,
      down,
      across,
    );
    // The first cell, the last and, where pairs do not come out, the one before it alone.
    for (let j = 0; j < cols; j = j === 0 ? inner : j + 1) {
      const left = ghost(j - 1, cols, boundary);
      const right = ghost(j + 1, cols, boundary);
      const next =
        sideRow * columnAt(above, right) +
        centerRow * columnAt(own, right) +
        sideRow * columnAt(below, right);
      const last =
        sideRow * columnAt(above, left) + centerRow * columnAt(own, left) + sideRow * columnAt(below, left);
      store<f64>(across + j * 8, (next - last) * scaleCol);
      const before = (columnAt(below, left) - columnAt(above, left)) * scaleRow;
      const here = (columnAt(below, j) - columnAt(above, j)) * scaleRow;
      const after = (columnAt(below, right) - columnAt(above, right)) * scaleRow;
      store<f64>(down + j * 8, sideCol * before + centerCol * here + sideCol * after);
    }
  }
}

/** The columns from 1 on that have both neighbors, in pairs; gives the first column left. */
function slopesInside(
  above: usize,
  own: usize,
  below: usize,
  cols: i32,
  sideRow: f64,
  centerRow: f64,
  sideCol: f64,
  centerCol: f64,
  scaleRow: f64,
  scaleCol: f64,
  down: usize,
  across: usize,
): i32 {
  if (cols < 4) return 1;
  const sideRows = f64x2.splat(sideRow);
  const centerRows = f64x2.splat(centerRow);
  const sideCols = f64x2.splat(sideCol);
  const centerCols = f64x2.splat(centerCol);
  const perRow = f64x2.splat(scaleRow);
  const perCol = f64x2.splat(scaleCol);
  let a = v128.load(above);
  let b = v128.load(below);
  let last = smooth3(sideRows, centerRows, a, v128.load(own), b);
  let before = f64x2.mul(f64x2.sub(b, a), perRow);
  let j = 1;
  for (; j + 2 < cols; j += 2) {
    const at = j * 8;
    const here = f64x2.mul(f64x2.sub(v128.load(below + at), v128.load(above + at)), perRow);
    // What comes next here comes before the next pair.
    a = v128.load(above + at, 8);
    b = v128.load(below + at, 8);
    const next = smooth3(sideRows, centerRows, a, v128.load(own + at, 8), b);
    const after = f64x2.mul(f64x2.sub(b, a), perRow);
    v128.store(across + at, f64x2.mul(f64x2.sub(next, last), perCol));
    v128.store(down + at, smooth3(sideCols, centerCols, before, here, after));
    last = next;
    before = after;
  }
  return j;
}

/** side a + center b + side c, in that order. */
function smooth3(side: v128, center: v128, a: v128, b: v128, c: v128): v128 {
  return f64x2.add(f64x2.add(f64x2.mul(side, a), f64x2.mul(center, b)), f64x2.mul(side, c));
}

/**
 * Slopes of fourth order: 8 times the near difference less the far one, times a scale for each direction. `scratch` is
 * of 2 padded rows.
 */
export function slopes4(
  values: usize,
  rows: i32,
  cols: i32,
  boundary: i32,
  fromRow: i32,
  toRow: i32,
  scaleRow: f64,
  scaleCol: f64,
  outRow: usize,
  outCol: usize,
  scratch: usize,
): void {
  const perRow = f64x2.splat(scaleRow);
  const perCol = f64x2.splat(scaleCol);
  const eight = f64x2.splat(8);
  const own = scratch + paddedLength(cols) * 8;
  memory.fill(scratch, 0, paddedLength(cols) * 8);
  for (let i = fromRow; i < toRow; i++) {
    const above2 = rowAt(values, i - 2, rows, cols, boundary, scratch);
    const above = rowAt(values, i - 1, rows, cols, boundary, scratch);
    const below = rowAt(values, i + 1, rows, cols, boundary, scratch);
    const below2 = rowAt(values, i + 2, rows, cols, boundary, scratch);
    copyPadded(rowAt(values, i, rows, cols, boundary, scratch), own, cols, boundary);
    const toRowOut = outRow + (i as usize) * cols * 8;
    const toColOut = outCol + (i as usize) * cols * 8;
    for (let j = 0; j < cols; j += 2) {
      const at = j * 8;
      const nearCol = f64x2.sub(v128.load(own + at, 24), v128.load(own + at, 8));
      const farCol = f64x2.sub(v128.load(own + at, 32), v128.load(own + at));
      put(toColOut, j, cols, f64x2.mul(f64x2.sub(f64x2.mul(eight, nearCol), farCol), perCol));
      const nearRow = f64x2.sub(v128.load(below + at), v128.load(above + at));
      const farRow = f64x2.sub(v128.load(below2 + at), v128.load(above2 + at));
      put(toRowOut, j, cols, f64x2.mul(f64x2.sub(f64x2.mul(eight, nearRow), farRow), perRow));
    }
  }
}

/** Where row `i` (-2 and up) lies in a ring of five padded rows. */
function slot(ring: usize, i: i32, cols: i32): usize {
  return ring + ((i + REACH) % 5) * paddedLength(cols) * 8;
}

/** Copies row `i` with its ghosts into the ring. */
function fill(ring: usize, values: usize, i: i32, rows: i32, cols: i32, boundary: i32): void {
  const to = slot(ring, i, cols);
  const row = ghost(i, rows, boundary);
  if (row < 0) memory.fill(to, 0, paddedLength(cols) * 8);
  else copyPadded(values + (row as usize) * cols * 8, to, cols, boundary);
}

/** bias + the sum of 25 weights times neighbors, both row-major from the upper left; `ring` is 5 padded rows. */
export function stencil25(
  values: usize,
  rows: i32,
  cols: i32,
  boundary: i32,
  fromRow: i32,
  toRow: i32,
  weights: usize,
  bias: f64,
  out: usize,
  ring: usize,
): void {
  for (let i = fromRow - 2; i < fromRow + 2; i++) fill(ring, values, i, rows, cols, boundary);
  for (let i = fromRow; i < toRow; i++) {
    fill(ring, values, i + 2, rows, cols, boundary);
    const to = out + (i as usize) * cols * 8;
    for (let j = 0; j < cols; j += 2) {
      let sum = f64x2.splat(bias);
      let weight = weights;
      for (let r = -2; r <= 2; r++) {
        const from = slot(ring, i + r, cols) + j * 8;
        sum = f64x2.add(sum, f64x2.mul(v128.load64_splat(weight), v128.load(from)));
        sum = f64x2.add(sum, f64x2.mul(v128.load64_splat(weight, 8), v128.load(from, 8)));
        sum = f64x2.add(sum, f64x2.mul(v128.load64_splat(weight, 16), v128.load(from, 16)));
        sum = f64x2.add(sum, f64x2.mul(v128.load64_splat(weight, 24), v128.load(from, 24)));
        sum = f64x2.add(sum, f64x2.mul(v128.load64_splat(weight, 32), v128.load(from, 32)));
        weight += 40;
      }
      put(to, j, cols, sum);
    }
  }
}

/** Size of the slope, sqrt(row^2 + col^2), of `count` cells. */
export function slopeSizes(row: usize, col: usize, count: i32, out: usize): void {
  for (let j = 0; j < count; j += 2) {
    const at = j * 8;
    const a = v128.load(row + at);
    const b = v128.load(col + at);
    put(out, j, count, f64x2.sqrt(f64x2.add(f64x2.mul(a, a), f64x2.mul(b, b))));
  }
}
