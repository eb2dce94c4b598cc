/**
 * Passes of a mixed-radix Stockham transform (decimation in frequency, self-sorting) over vectors: each lane is a
 * transform of its own, so no pass ever shuffles. T is f32 (4 lanes) or f64 (2 lanes).
 *
 * An element is `width` complex vectors, `side` bytes apart, each of another set of transforms; elements are `step`
 * bytes apart, imaginary parts lie `gap` bytes from real ones. So planes, interleaved buffers and, with real and
 * imaginary parts exchanged, inverse transforms are all read and written in place. A pass of radix r with m = n / r maps
 * element q + s (p + m i) to q + s (r p + i) and turns result i back by p i / n of a full turn. Twiddles are r - 1 pairs
 * (cosine, -sine) for each p >= 1.
 */

/** x[0] + x[1], x[0] - x[1]. */
export function pass2<T>(
  from: usize,
  xGap: usize,
  xStep: usize,
  xSide: usize,
  to: usize,
  yGap: usize,
  yStep: usize,
  ySide: usize,
  m: usize,
  s: usize,
  width: usize,
  twiddles: usize,
): void {
  const xFar = xStep * s * m;
  const yFar = yStep * s;
  let turn = twiddles - 2 * sizeof<T>();
  for (let p: usize = 0; p < m; p++) {
    const isTurned = p > 0;
    const cos = isTurned ? v128.load_splat<T>(turn) : v128.splat<T>(1 as T);
    const sin = isTurned ? v128.load_splat<T>(turn + sizeof<T>()) : v128.splat<T>(0 as T);
    turn += 2 * sizeof<T>();
    for (let q: usize = 0; q < s; q++) {
      let x = from + xStep * (s * p + q);
      let y = to + yStep * (s * 2 * p + q);
      for (let w: usize = 0; w < width; w++) {
        const ar = v128.load(x);
        const ai = v128.load(x + xGap);
        const br = v128.load(x + xFar);
        const bi = v128.load(x + xFar + xGap);
        const dr = v128.sub<T>(ar, br);
        const di = v128.sub<T>(ai, bi);
        v128.store(y, v128.add<T>(ar, br));
        v128.store(y + yGap, v128.add<T>(ai, bi));
        v128.store(y + yFar, v128.sub<T>(v128.mul<T>(dr, cos), v128.mul<T>(di, sin)));
        v128.store(y + yFar + yGap, v128.add<T>(v128.mul<T>(dr, sin), v128.mul<T>(di, cos)));
        x += xSide;
        y += ySide;
      }
    }
  }
}

/** Radix 3: half sums and a quarter turn of sqrt(3) / 2 of the difference. */
export function pass3<T>(
  from: usize,
  xGap: usize,
  xStep: usize,
  xSide: usize,
  to: usize,
  yGap: usize,
  yStep: usize,
  ySide: usize,
  m: usize,
  s: usize,
  width: usize,
  twiddles: usize,
): void {
  const half = v128.splat<T>(0.5 as T);
  const root = v128.splat<T>(0.8660254037844386 as T);
  const xFar = xStep * s * m;
  const yFar = yStep * s;
  let turn = twiddles - 4 * sizeof<T>();
  for (let p: usize = 0; p < m; p++) {
    const isTurned = p > 0;
    const cos1 = isTurned ? v128.load_splat<T>(turn) : v128.splat<T>(1 as T);
    const sin1 = isTurned ? v128.load_splat<T>(turn + sizeof<T>()) : v128.splat<T>(0 as T);
    const cos2 = isTurned ? v128.load_splat<T>(turn + 2 * sizeof<T>()) : v128.splat<T>(1 as T);
    const sin2 = isTurned ? v128.load_splat<T>(turn + 3 * sizeof<T>()) : v128.splat<T>(0 as T);
    turn += 4 * sizeof<T>();
    for (let q: usize = 0; q < s; q++) {
      let x = from + xStep * (s * p + q);
      let y = to + yStep * (s * 3 * p + q);
      for (let w: usize = 0; w < width; w++) {
        const ar = v128.load(x);
        const ai = v128.load(x + xGap);
        const br = v128.load(x + xFar);
        const bi = v128.load(x + xFar + xGap);
        const cr = v128.load(x + 2 * xFar);
        const ci = v128.load(x + 2 * xFar + xGap);
        const sumRe = v128.add<T>(br, cr);
        const sumIm = v128.add<T>(bi, ci);
        const crossRe = v128.mul<T>(root, v128.sub<T>(bi, ci));
        const crossIm = v128.mul<T>(root, v128.sub<T>(cr, br));
        const midRe = v128.sub<T>(ar, v128.mul<T>(half, sumRe));
        const midIm = v128.sub<T>(ai, v128.mul<T>(half, sumIm));
        v128.store(y, v128.add<T>(ar, sumRe));
        v128.store(y + yGap, v128.add<T>(ai, sumIm));
        turned<T>(y + yFar, yGap, v128.add<T>(midRe, crossRe), v128.add<T>(midIm, crossIm), cos1, sin1);
        turned<T>(y + 2 * yFar, yGap, v128.sub<T>(midRe, crossRe), v128.sub<T>(midIm, crossIm), cos2, sin2);
        x += xSide;
        y += ySide;
      }
    }
  }
}

/**
 * Radix 4, the pass of most of the work: turns of nothing (p = 0) are left out, and with Layout = u8 (not u16) the gaps
 * and sides of interleaved buffers, 16 and 32 bytes, are known to the compiler.
 */
export function pass4<T, Layout>(
  x: usize,
  xGap: usize,
  xStep: usize,
  xSide: usize,
  y: usize,
  yGap: usize,
  yStep: usize,
  ySide: usize,
  m: usize,
  s: usize,
  width: usize,
  twiddles: usize,
): void {
  plain4<T, Layout>(x, xGap, xStep, xSide, y, yGap, yStep, ySide, m, s, width);
  turned4<T, Layout>(x, xGap, xStep, xSide, y, yGap, yStep, ySide, m, s, width, twiddles);
}

/** Results of p = 0. */
function plain4<T, Layout>(
  from: usize,
  xGapAny: usize,
  xStep: usize,
  xSideAny: usize,
  to: usize,
  yGapAny: usize,
  yStep: usize,
  ySideAny: usize,
  m: usize,
  s: usize,
  width: usize,
): void {
  const isFixed = sizeof<Layout>() === 1;
  const xGap: usize = isFixed ? 16 : xGapAny;
  const yGap: usize = isFixed ? 16 : yGapAny;
  const xSide: usize = isFixed ? 32 : xSideAny;
  const ySide: usize = isFixed ? 32 : ySideAny;
  const xFar = xStep * s * m;
  const yFar = yStep * s;
  for (let q: usize = 0; q < s; q++) {
    let x = from + xStep * q;
    let y = to + yStep * q;
    for (let w: usize = 0; w < width; w++) {
      const ar = v128.load(x);
      const ai = v128.load(x + xGap);
      const br = v128.load(x + xFar);
      const bi = v128.load(x + xFar + xGap);
      const cr = v128.load(x + 2 * xFar);
      const ci = v128.load(x + 2 * xFar + xGap);
      const dr = v128.load(x + 3 * xFar);
      const di = v128.load(x + 3 * xFar + xGap);
      const acRe = v128.add<T>(ar, cr);
      const acIm = v128.add<T>(ai, ci);
      const bdRe = v128.add<T>(br, dr);
      const bdIm = v128.add<T>(bi, di);
      v128.store(y, v128.add<T>(acRe, bdRe));
      v128.store(y + yGap, v128.add<T>(acIm, bdIm));
      v128.store(y + 2 * yFar, v128.sub<T>(acRe, bdRe));
      v128.store(y + 2 * yFar + yGap, v128.sub<T>(acIm, bdIm));
      const offRe = v128.sub<T>(ar, cr);
      const offIm = v128.sub<T>(ai, ci);
      const crossRe = v128.sub<T>(bi, di);
      const crossIm = v128.sub<T>(dr, br);
      v128.store(y + yFar, v128.add<T>(offRe, crossRe));
      v128.store(y + yFar + yGap, v128.add<T>(offIm, crossIm));
      v128.store(y + 3 * yFar, v128.sub<T>(offRe, crossRe));
      v128.store(y + 3 * yFar + yGap, v128.sub<T>(offIm, crossIm));
      x += xSide;
      y += ySide;
    }
  }
}

/** Results of the other p. */
function turned4<T, Layout>(
  from: usize,
  xGapAny: usize,
  xStep: usize,
  xSideAny: usize,
  to: usize,
  yGapAny: usize,
  yStep: usize,
  ySideAny: usize,
  m: usize,
  s: usize,
  width: usize,
  twiddles: usize,
): void {
  const isFixed = sizeof<Layout>() === 1;
  const xGap: usize = isFixed ? 16 : xGapAny;
  const yGap: usize = isFixed ? 16 : yGapAny;
  const xSide: usize = isFixed ? 32 : xSideAny;
  const ySide: usize = isFixed ? 32 : ySideAny;
  const xFar = xStep * s * m;
  const yFar = yStep * s;
  for (let p: usize = 1; p < m; p++) {
    const cos1 = v128.load_splat<T>(twiddles);
    const sin1 = v128.load_splat<T>(twiddles, sizeof<T>());
    const cos2 = v128.load_splat<T>(twiddles, 2 * sizeof<T>());
    const sin2 = v128.load_splat<T>(twiddles, 3 * sizeof<T>());
    const cos3 = v128.load_splat<T>(twiddles, 4 * sizeof<T>());
    const sin3 = v128.load_splat<T>(twiddles, 5 * sizeof<T>());
    twiddles += 6 * sizeof<T>();
    for (let q: usize = 0; q < s; q++) {
      let x = from + xStep * (s * p + q);
      let y = to + yStep * (s * 4 * p + q);
      for (let w: usize = 0; w < width; w++) {
        const ar = v128.load(x);
        const ai = v128.load(x + xGap);
        const br = v128.load(x + xFar);
        const bi = v128.load(x + xFar + xGap);
        const cr = v128.load(x + 2 * xFar);
        const ci = v128.load(x + 2 * xFar + xGap);
        const dr = v128.load(x + 3 * xFar);
        const di = v128.load(x + 3 * xFar + xGap);
        const acRe = v128.add<T>(ar, cr);
        const acIm = v128.add<T>(ai, ci);
        const bdRe = v128.add<T>(br, dr);
        const bdIm = v128.add<T>(bi, di);
        v128.store(y, v128.add<T>(acRe, bdRe));
        v128.store(y + yGap, v128.add<T>(acIm, bdIm));
        turned<T>(y + 2 * yFar, yGap, v128.sub<T>(acRe, bdRe), v128.sub<T>(acIm, bdIm), cos2, sin2);
        const offRe = v128.sub<T>(ar, cr);
        const offIm = v128.sub<T>(ai, ci);
        const crossRe = v128.sub<T>(bi, di);
        const crossIm = v128.sub<T>(dr, br);
        turned<T>(y + yFar, yGap, v128.add<T>(offRe, crossRe), v128.add<T>(offIm, crossIm), cos1, sin1);
        turned<T>(y + 3 * yFar, yGap, v128.sub<T>(offRe, crossRe), v128.sub<T>(offIm, crossIm), cos3, sin3);
        x += xSide;
        y += ySide;
      }
    }
  }
}

/** Radix 5: two pairs of mirrored inputs, their sums by cosines and their differences by sines of fifths of a turn. */
export function pass5<T>(
  from: usize,
  xGap: usize,
  xStep: usize,
  xSide: usize,
  to: usize,
  yGap: usize,
  yStep: usize,
  ySide: usize,
  m: usize,
  s: usize,
  width: usize,
  twiddles: usize,
): void {
  const cosA = v128.splat<T>(0.30901699437494745 as T);
  const cosB = v128.splat<T>(-0.8090169943749475 as T);
  const sinA = v128.splat<T>(0.9510565162951535 as T);
  const sinB = v128.splat<T>(0.5877852522924731 as T);
  const xFar = xStep * s * m;
  const yFar = yStep * s;
  for (let p: usize = 0; p < m; p++) {
    // None for p = 0.
    const turn: usize = p === 0 ? 0 : twiddles + 8 * (p - 1) * sizeof<T>();
    for (let q: usize = 0; q < s; q++) {
      let x = from + xStep * (s * p + q);
      let y = to + yStep * (s * 5 * p + q);
      for (let w: usize = 0; w < width; w++) {
        const ar = v128.load(x);
        const ai = v128.load(x + xGap);
        const beRe = sumAt<T>(x + xFar, x + 4 * xFar);
        const beIm = sumAt<T>(x + xFar + xGap, x + 4 * xFar + xGap);
        const cdRe = sumAt<T>(x + 2 * xFar, x + 3 * xFar);
        const cdIm = sumAt<T>(x + 2 * xFar + xGap, x + 3 * xFar + xGap);
        v128.store(y, v128.add<T>(ar, v128.add<T>(beRe, cdRe)));
        v128.store(y + yGap, v128.add<T>(ai, v128.add<T>(beIm, cdIm)));
        const offBeRe = gapAt<T>(x + xFar, x + 4 * xFar);
        const offBeIm = gapAt<T>(x + xFar + xGap, x + 4 * xFar + xGap);
        const offCdRe = gapAt<T>(x + 2 * xFar, x + 3 * xFar);
        const offCdIm = gapAt<T>(x + 2 * xFar + xGap, x + 3 * xFar + xGap);
        const nearRe = v128.add<T>(ar, v128.add<T>(v128.mul<T>(cosA, beRe), v128.mul<T>(cosB, cdRe)));
        const nearIm = v128.add<T>(ai, v128.add<T>(v128.mul<T>(cosA, beIm), v128.mul<T>(cosB, cdIm)));
        const nearCrossRe = v128.add<T>(v128.mul<T>(sinA, offBeIm), v128.mul<T>(sinB, offCdIm));
        const nearCrossIm = v128.add<T>(v128.mul<T>(sinA, offBeRe), v128.mul<T>(sinB, offCdRe));
        turnedBy<T>(
          y + yFar,
          yGap,
          v128.add<T>(nearRe, nearCrossRe),
          v128.sub<T>(nearIm, nearCrossIm),
          turn,
          0,
        );
        turnedBy<T>(
          y + 4 * yFar,
          yGap,
          v128.sub<T>(nearRe, nearCrossRe),
          v128.add<T>(nearIm, nearCrossIm),
          turn,
          3,
        );
        const farRe = v128.add<T>(ar, v128.add<T>(v128.mul<T>(cosB, beRe), v128.mul<T>(cosA, cdRe)));
        const farIm = v128.add<T>(ai, v128.add<T>(v128.mul<T>(cosB, beIm), v128.mul<T>(cosA, cdIm)));
        const farCrossRe = v128.sub<T>(v128.mul<T>(sinB, offBeIm), v128.mul<T>(sinA, offCdIm));
        const farCrossIm = v128.sub<T>(v128.mul<T>(sinB, offBeRe), v128.mul<T>(sinA, offCdRe));
        turnedBy<T>(
          y + 2 * yFar,
          yGap,
          v128.add<T>(farRe, farCrossRe),
          v128.sub<T>(farIm, farCrossIm),
          turn,
          1,
        );
        turnedBy<T>(
          y + 3 * yFar,
          yGap,
          v128.sub<T>(farRe, farCrossRe),
          v128.add<T>(farIm, farCrossIm),
          turn,
          2,
        );
        x += xSide;
        y += ySide;
      }
    }
  }
}

function sumAt<T>(a: usize, b: usize): v128 {
  return v128.add<T>(v128.load(a), v128.load(b));
}

function gapAt<T>(a: usize, b: usize): v128 {
  return v128.sub<T>(v128.load(a), v128.load(b));
}

/** Stores (re + i im) (cos + i sin). */
function turned<T>(y: usize, gap: usize, re: v128, im: v128, cos: v128, sin: v128): void {
  v128.store(y, v128.sub<T>(v128.mul<T>(re, cos), v128.mul<T>(im, sin)));
  v128.store(y + gap, v128.add<T>(v128.mul<T>(re, sin), v128.mul<T>(im, cos)));
}

/** The same by turn `index` of the table, or by none at address 0. */
function turnedBy<T>(y: usize, gap: usize, re: v128, im: v128, table: usize, index: usize): void {
  if (table === 0) {
    v128.store(y, re);
    v128.store(y + gap, im);
    return;
  }
  const at = table + 2 * index * sizeof<T>();
  turned<T>(y, gap, re, im, v128.load_splat<T>(at), v128.load_splat<T>(at, sizeof<T>()));
}
