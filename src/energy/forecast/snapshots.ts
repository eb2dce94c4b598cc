/**
 * A stream's last 64 maps and their inner products, less the first map learned: what laws over whole maps are fitted
 * from without going through the cells again. A ring: the oldest makes room for the newest. Maps are kept as float32,
 * as they are on the wire. 256 bytes a cell.
 */
import type { Steps } from '../../numeric/slices.ts';

export const SNAPSHOTS = 64;
/** Products of a cell between two pauses: about a millisecond. */
const STEP_PRODUCTS = 500_000;

export interface SnapshotState {
  /** The first map learned, subtracted from all in products; undefined before it. */
  origin: Float64Array | undefined;
  /** Maps kept one after the other, by place. */
  readonly maps: Float32Array;
  /** Inner products of the maps at two places, 64 x 64. */
  readonly products: Float64Array;
  /** Whether the map of a place came right after that of the place before. */
  readonly follows: Uint8Array;
  /** Maps learned; the newest stands at (learned - 1) mod 64. */
  learned: number;
}

export function createSnapshots(cells: number): SnapshotState {
  return {
    origin: undefined,
    maps: new Float32Array(SNAPSHOTS * cells),
    products: new Float64Array(SNAPSHOTS * SNAPSHOTS),
    follows: new Uint8Array(SNAPSHOTS),
    learned: 0,
  };
}

/** Place of the newest map. */
export function newest({ learned }: SnapshotState): number {
  return (learned - 1 + SNAPSHOTS) % SNAPSHOTS;
}

export function placeBefore(place: number): number {
  return (place + SNAPSHOTS - 1) % SNAPSHOTS;
}

/** Places with a map right before theirs that is kept too, oldest first. */
export function followers(state: SnapshotState): number[] {
  const held = Math.min(state.learned, SNAPSHOTS);
  const places = Array.from({ length: held }, (_, at) => (state.learned - held + at) % SNAPSHOTS);
  return places.slice(1).filter((place) => state.follows[place] === 1);
}

/** Inner product of a map less the origin with the one from `start` on. Four sums, none of which waits for another. */
function productOf(centered: Float64Array, maps: Float32Array, start: number, origin: Float64Array): number {
  const whole = centered.length & ~3;
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  for (let i = 0; i < whole; i += 4) {
    a += centered[i]! * (maps[start + i]! - origin[i]!);
    b += centered[i + 1]! * (maps[start + i + 1]! - origin[i + 1]!);
    c += centered[i + 2]! * (maps[start + i + 2]! - origin[i + 2]!);
    d += centered[i + 3]! * (maps[start + i + 3]! - origin[i + 3]!);
  }
  for (let i = whole; i < centered.length; i++) a += centered[i]! * (maps[start + i]! - origin[i]!);
  return a + b + (c + d);
}

/** Inner products of a map with those at `places`. O(cells) for each. */
export function* productSteps(
  state: SnapshotState,
  cells: Float64Array,
  places: readonly number[],
): Steps<Float64Array> {
  const out = new Float64Array(places.length);
  const origin = state.origin!;
  const centered = new Float64Array(cells.length);
  for (let i = 0; i < cells.length; i++) centered[i] = cells[i]! - origin[i]!;
  let done = 0;
  for (const [at, place] of places.entries()) {
    out[at] = productOf(centered, state.maps, place * cells.length, origin);
    done += cells.length;
    if (done >= STEP_PRODUCTS) {
      done = 0;
      yield;
    }
  }
  return out;
}

/** Puts a map in the place of the oldest; `products` are its own with every place, the newest first lost. */
export function* addSteps(
  state: SnapshotState,
  cells: Float64Array,
  products: Float64Array,
  follows: boolean,
): Steps<void> {
  const place = state.learned % SNAPSHOTS;
  state.maps.set(cells, place * cells.length);
  for (let other = 0; other < SNAPSHOTS; other++) {
    state.products[place * SNAPSHOTS + other] = products[other] ?? 0;
    state.products[other * SNAPSHOTS + place] = products[other] ?? 0;
  }
  const [own] = yield* productSteps(state, cells, [place]);
  state.products[place * SNAPSHOTS + place] = own!;
  state.follows[place] = follows ? 1 : 0;
  state.learned++;
}

/** Adds `factors` times the maps at `places`, less the origin, to `out`, one after the other. */
export function* addMaps(
  state: SnapshotState,
  places: readonly number[],
  factors: Float64Array,
  out: Float64Array,
): Steps<void> {
  const origin = state.origin!;
  let done = 0;
  for (let at = 0; at < places.length; at += 2) {
    // Where one is left it goes with itself, none times.
    const pair = [places[at]!, places[at + 1] ?? places[at]!] as const;
    addTwo(state.maps, pair, [factors[at]!, factors[at + 1] ?? 0], origin, out);
    done += 2 * out.length;
    if (done >= STEP_PRODUCTS) {
      done = 0;
      yield;
    }
  }
}

/** Adds two maps in one pass, the first before the second. */
function addTwo(
  maps: Float32Array,
  [placeA, placeB]: readonly [number, number],
  [factorA, factorB]: readonly [number, number],
  origin: Float64Array,
  out: Float64Array,
): void {
  const [a, b] = [placeA * out.length, placeB * out.length];
  for (let i = 0; i < out.length; i++) {
    const own = origin[i]!;
    out[i] = out[i]! + factorA * (maps[a + i]! - own) + factorB * (maps[b + i]! - own);
  }
}
