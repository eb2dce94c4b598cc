/** 2x2 block sums of masked grids of doubles, row-major. */

/** Four bytes of a mask, 0 or 1, as doubles: the first or the last two. */
function maskOf(mask: usize, half: i32): v128 {
  const words = i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(mask)));
  return f64x2.convert_low_i32x4_u(half === 0 ? words : v128.shuffle<i64>(words, words, 1, 1));
}

/** Sum of the even and the odd columns of four cells of a row, two pairs; unobserved cells are 0. */
function pairSums(row: usize, mask: usize): v128 {
  let a = v128.load(row);
  let b = v128.load(row, 16);
  if (mask !== 0) {
    a = f64x2.mul(a, maskOf(mask, 0));
    b = f64x2.mul(b, maskOf(mask, 1));
  }
  return f64x2.add(v128.shuffle<f64>(a, b, 0, 2), v128.shuffle<f64>(a, b, 1, 3));
}

/** The same of the cell j and its right neighbor, where there is one. */
function pairSum(row: usize, mask: usize, j: i32, cols: i32): f64 {
  const own = mask === 0 || load<u8>(mask) !== 0 ? load<f64>(row) : 0;
  if (j + 1 >= cols) return own;
  return own + (mask === 0 || load<u8>(mask, 1) !== 0 ? load<f64>(row, 8) : 0);
}

/**
 * 2x2 block sums, rows of a block first; the last row or column of an odd side stands alone. `out` has
 * (rows + 1) / 2 x (cols + 1) / 2 cells. `mask` (one byte a cell, 1 observed) and `outMask` are 0 when all cells are
 * observed; a coarse cell is observed when one of its cells is.
 */
export function blocks(values: usize, mask: usize, rows: i32, cols: i32, out: usize, outMask: usize): void {
  const width = (cols + 1) / 2;
  for (let i = 0; i < rows; i += 2) {
    const hasLower = i + 1 < rows;
    const start = (i as usize) * cols;
    const to = ((i as usize) * width) / 2;
    const upper = values + start * 8;
    const lower = upper + cols * 8;
    const upperMask: usize = mask === 0 ? 0 : mask + start;
    const lowerMask: usize = mask === 0 ? 0 : upperMask + cols;
    let j = 0;
    for (; j + 3 < cols; j += 4) {
      let sum = pairSums(upper + j * 8, mask === 0 ? 0 : upperMask + j);
      if (hasLower) sum = f64x2.add(sum, pairSums(lower + j * 8, mask === 0 ? 0 : lowerMask + j));
      v128.store(out + to * 8 + j * 4, sum);
    }
    for (; j < cols; j += 2) {
      let sum = pairSum(upper + j * 8, mask === 0 ? 0 : upperMask + j, j, cols);
      if (hasLower) sum += pairSum(lower + j * 8, mask === 0 ? 0 : lowerMask + j, j, cols);
      store<f64>(out + to * 8 + j * 4, sum);
    }
    if (mask === 0) continue;
    for (let k = 0; k < cols; k += 2) {
      let seen: u32 = load<u8>(upperMask + k);
      if (k + 1 < cols) seen |= load<u8>(upperMask + k, 1);
      if (hasLower) seen |= load<u8>(lowerMask + k);
      if (hasLower && k + 1 < cols) seen |= load<u8>(lowerMask + k, 1);
      store<u8>(outMask + to + k / 2, seen);
    }
  }
}
