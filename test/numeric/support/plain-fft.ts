/** The discrete Fourier transform by its definition, in doubles: what the fast ones are compared with. O(n^2). */

export interface Line {
  readonly re: Float64Array;
  readonly im: Float64Array;
}

/** exp(-2 pi i k / n) for k < n; `direction` -1 for the conjugate. */
function turnsOf(n: number, direction: number): Line {
  const angle = (k: number) => (-2 * Math.PI * direction * k) / n;
  return {
    re: Float64Array.from({ length: n }, (_, k) => Math.cos(angle(k))),
    im: Float64Array.from({ length: n }, (_, k) => Math.sin(angle(k))),
  };
}

/** Transform of a line; back, divided by its length, with direction -1. */
export function plainFft({ re, im }: Line, direction: 1 | -1 = 1): Line {
  const n = re.length;
  const turns = turnsOf(n, direction);
  const out = { re: new Float64Array(n), im: new Float64Array(n) };
  const scale = direction === 1 ? 1 : 1 / n;
  for (let k = 0; k < n; k++) {
    let sumRe = 0;
    let sumIm = 0;
    for (let j = 0; j < n; j++) {
      const turn = (j * k) % n;
      sumRe += re[j]! * turns.re[turn]! - im[j]! * turns.im[turn]!;
      sumIm += re[j]! * turns.im[turn]! + im[j]! * turns.re[turn]!;
    }
    out.re[k] = sumRe * scale;
    out.im[k] = sumIm * scale;
  }
  return out;
}

/** Half spectrum of a real grid: rows x (cols / 2 + 1), rounded down, in planes without padding. */
export function plainGridFft(values: Float64Array, rows: number, cols: number): Line {
  const kept = Math.floor(cols / 2) + 1;
  const out = { re: new Float64Array(rows * kept), im: new Float64Array(rows * kept) };
  for (let i = 0; i < rows; i++) {
    const row = values.slice(i * cols, (i + 1) * cols);
    const line = plainFft({ re: row, im: new Float64Array(cols) });
    out.re.set(line.re.subarray(0, kept), i * kept);
    out.im.set(line.im.subarray(0, kept), i * kept);
  }
  for (let j = 0; j < kept; j++) {
    const column = plainFft({
      re: Float64Array.from({ length: rows }, (_, i) => out.re[i * kept + j]!),
      im: Float64Array.from({ length: rows }, (_, i) => out.im[i * kept + j]!),
    });
    for (let i = 0; i < rows; i++) {
      out.re[i * kept + j] = column.re[i]!;
      out.im[i * kept + j] = column.im[i]!;
    }
  }
  return out;
}
