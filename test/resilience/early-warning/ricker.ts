/**
 * The harvested Ricker map that the tests of the `ewstools` package run: x' = x exp(.75 (1 - x / 10) + noise) -
 * F x^2 / (x^2 + .75^2), F rising from 0 to 2.7 over 1000 steps, noise N(0, .02^2) from NumPy's legacy generator.
 */

/** NumPy's `RandomState(seed)`: MT19937 (M. Matsumoto, T. Nishimura 1998), 53-bit doubles, polar normals. */
export class LegacyRandom {
  private readonly words = new Uint32Array(624);
  private next = 624;
  private spare: number | undefined;

  constructor(seed: number) {
    this.words[0] = seed;
    for (let i = 1; i < 624; i++) {
      const before = this.words[i - 1]! ^ (this.words[i - 1]! >>> 30);
      this.words[i] = Math.imul(1812433253, before) + i;
    }
  }

  /** Uniform in [0, 1). */
  uniform(): number {
    const high = this.word() >>> 5;
    const low = this.word() >>> 6;
    return (high * 2 ** 26 + low) / 2 ** 53;
  }

  /** Standard normal; of each polar pair the second deviate comes first. */
  normal(): number {
    if (this.spare !== undefined) {
      const value = this.spare;
      this.spare = undefined;
      return value;
    }
    for (;;) {
      const x = 2 * this.uniform() - 1;
      const y = 2 * this.uniform() - 1;
      const square = x * x + y * y;
      if (square >= 1 || square === 0) continue;
      const factor = Math.sqrt((-2 * Math.log(square)) / square);
      this.spare = factor * x;
      return factor * y;
    }
  }

  private word(): number {
    if (this.next === 624) this.twist();
    let y = this.words[this.next++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  private twist(): void {
    const { words } = this;
    for (let i = 0; i < 624; i++) {
      const y = (words[i]! & 0x80000000) | (words[(i + 1) % 624]! & 0x7fffffff);
      words[i] = words[(i + 397) % 624]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.next = 0;
  }
}

/** The 1000 values after a burn-in of 100 at F = 0 from x = .8. */
export function rickerSeries(seed = 0): Float64Array {
  const random = new LegacyRandom(seed);
  const step = (x: number, harvest: number) => {
    const growth = x * Math.exp(0.75 * (1 - x / 10) + 0.02 * random.normal());
    return growth - (harvest * x ** 2) / (x ** 2 + 0.75 ** 2);
  };
  let x = 0.8;
  for (let t = 0; t < 100; t++) x = step(x, 0);
  return Float64Array.from({ length: 1000 }, (_, t) => {
    const value = x;
    x = step(x, (2.7 * t) / 999);
    return value;
  });
}
