/**
 * How little of what a node has shown before explains a window. One coordinate of the node is followed: of a single
 * metric its value, of several the size of their whitened deviation, sqrt(2E / d). Its context of the latest windows is
 * compared with the contexts remembered (memory.ts) at three lengths, and each distance ranked among those before it
 * (tail.ts). Energy knows the spread of a stream and calls what lies outside of it surprising each time; memory knows
 * what it has shown, however its values are distributed, and is surprised once.
 *
 * p-values are combined as if independent (Fisher, 1925): the sum of k times -ln p follows the gamma law of shape k. Of
 * several metrics the surprise takes part as well, since unlike incidents can have the same energy; of one it would say
 * the same thing again, by a Gaussian law that its values need not follow.
 *
 * Deterministic, finite, and the same bits across `state` and `restore`. 30 KiB a node, O(1) a window: about 4,000
 * differences and three tables of 512 counts.
 */
import { logGammaQ } from '../../numeric/incomplete-gamma.ts';
import { LENGTHS, Memory, type MemoryState } from './memory.ts';
import { Tail } from './tail.ts';

/** Ranks are forgotten this much more slowly than what a node is used to be: a small p takes many windows to know. */
const TAIL_HALF_LIVES = 8;

/** A single metric's coordinate is (value - center) / unit: what a memory can compare from the first window to the last. */
export interface Frame {
  readonly center: number;
  /** Above 0. */
  readonly unit: number;
}

/** Everything known, as plain data. */
export interface NoveltyState {
  /** Undefined where several metrics are followed. */
  readonly frame: Frame | undefined;
  readonly memory: MemoryState;
  /** Counts of the tail at each length. */
  readonly tails: readonly Float32Array[];
}

export class Novelty {
  readonly #frame: Frame | undefined;
  readonly #memory: Memory;
  readonly #tails: readonly Tail[];
  readonly #distances = new Float64Array(LENGTHS.length);

  /** Of a single metric in its frame, or of several, for undefined. Nothing is remembered yet. */
  constructor(frame: Frame | undefined, memory = new Memory(), tails = LENGTHS.map(() => new Tail())) {
    this.#frame = frame;
    this.#memory = memory;
    this.#tails = tails;
  }

  static restore(state: NoveltyState): Novelty {
    const tails = state.tails.map((counts) => new Tail(counts.slice()));
    return new Novelty(state.frame, Memory.restore(state.memory), tails);
  }

  /** Borrowed until the next `judge`. */
  state(): NoveltyState {
    return {
      frame: this.#frame,
      memory: this.#memory.state(),
      tails: this.#tails.map(({ counts }) => counts),
    };
  }

  /**
   * Evidence that a window is like nothing before, nats, at least 0; then remembers it. `amount` is the metric's value,
   * or sqrt(2E / d); `surprise` that of the window, which is the answer as long as nothing can be compared. `forgetting`
   * is 1 - 2^(-t / half-life), t the event time since the last window.
   */
  judge(amount: number, surprise: number, forgetting: number): number {
    const age = -Math.log2(1 - forgetting);
    const frame = this.#frame;
    const coordinate = frame === undefined ? amount : (amount - frame.center) / frame.unit;
    if (!this.#memory.meet(coordinate, age, this.#distances)) return surprise;
    const keep = 2 ** (-age / TAIL_HALF_LIVES);
    let sum = 0;
    this.#tails.forEach((tail, at) => {
      sum += tail.judge(this.#distances[at]!, keep);
    });
    if (frame !== undefined) return Math.max(0, -logGammaQ(LENGTHS.length, sum));
    return Math.max(0, -logGammaQ(LENGTHS.length + 1, sum + surprise));
  }
}
