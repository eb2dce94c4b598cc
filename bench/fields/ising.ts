/**
 * The two-dimensional Ising model, J = 1, periodic, without a field: brought to equilibrium by Wolff's clusters (U. Wolff,
 * Phys. Rev. Lett. 62, 361, 1989), then followed by Metropolis sweeps on a checkerboard, a local dynamics with a memory
 * that grows towards the critical temperature 2 / ln(1 + sqrt 2).
 */
import type { Random } from '../../src/random.ts';
import type { Field } from './field.ts';

export const CRITICAL_TEMPERATURE = 2 / Math.log(1 + Math.SQRT2);

export interface IsingLaw {
  /** Spins along a side, even. */
  readonly side: number;
  readonly temperature: number;
  /** Metropolis sweeps between two maps. */
  readonly sweeps: number;
  /** A cell is the mean of block x block spins. */
  readonly block: number;
}

export interface Ising {
  readonly spins: Int8Array;
  /** One Metropolis sweep of all spins. */
  sweep(): void;
  /** Energy by spin. */
  energy(): number;
}

/** A lattice in equilibrium: all spins alike, then `clusters` flipped. */
export function createIsing(side: number, temperature: number, clusters: number, random: Random): Ising {
  const size = side * side;
  const spins = new Int8Array(size).fill(random.uniform() < 0.5 ? 1 : -1);
  const step = (at: number, direction: number) => {
    const [row, col] = [Math.floor(at / side), at % side];
    if (direction === 0) return row * side + ((col + 1) % side);
    if (direction === 1) return row * side + ((col + side - 1) % side);
    if (direction === 2) return ((row + 1) % side) * side + col;
    return ((row + side - 1) % side) * side + col;
  };
  const neighbors = Int32Array.from({ length: 4 * size }, (_, at) => step(at >> 2, at & 3));
  const field = (at: number) =>
    spins[neighbors[4 * at]!]! +
    spins[neighbors[4 * at + 1]!]! +
    spins[neighbors[4 * at + 2]!]! +
    spins[neighbors[4 * at + 3]!]!;
  const bond = 1 - Math.exp(-2 / temperature);
  const stack = new Int32Array(size);
  for (let done = 0; done < clusters; done++) {
    const seed = random.below(size);
    const spin = spins[seed]!;
    spins[seed] = -spin;
    stack[0] = seed;
    for (let height = 1; height > 0; ) {
      const at = stack[--height]!;
      for (let direction = 0; direction < 4; direction++) {
        const next = neighbors[4 * at + direction]!;
        if (spins[next] !== spin || random.uniform() >= bond) continue;
        spins[next] = -spin;
        stack[height++] = next;
      }
    }
  }
  const accept = [4, 8].map((cost) => Math.exp(-cost / temperature));
  return {
    spins,
    sweep() {
      for (const color of [0, 1]) {
        for (let row = 0; row < side; row++) {
          for (let col = (row + color) & 1; col < side; col += 2) {
            const at = row * side + col;
            const cost = 2 * spins[at]! * field(at);
            if (cost <= 0 || random.uniform() < accept[cost / 4 - 1]!) spins[at] = -spins[at]!;
          }
        }
      }
    },
    energy() {
      let sum = 0;
      for (let at = 0; at < size; at++) sum -= (spins[at]! * field(at)) / 2;
      return sum / size;
    },
  };
}

/** Maps of spins, or of the means of blocks of them. */
export function isingField({ side, temperature, sweeps, block }: IsingLaw, random: Random): Field {
  const ising = createIsing(side, temperature, 200, random);
  for (let burn = 0; burn < 20; burn++) ising.sweep();
  const cells = side / block;
  return {
    rows: cells,
    cols: cells,
    boundary: 'PERIODIC',
    next() {
      for (let done = 0; done < sweeps; done++) ising.sweep();
      const out = new Float64Array(cells * cells);
      for (const [at, spin] of ising.spins.entries()) {
        const place = Math.floor(at / side / block) * cells + Math.floor((at % side) / block);
        out[place] = out[place]! + spin / (block * block);
      }
      return out;
    },
  };
}
