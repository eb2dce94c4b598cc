/**
 * Maps with cells that were not observed, as a fit takes them: such a cell stands as far from its own mean as the observed
 * cells of its map do from theirs on average. So the mean of a map, where most of a fleet's power is, is that of what was
 * observed of it, and no pattern is made up; what the other modes lose of their power is told, to be made up for.
 */
import { maskFromBits } from '../../numeric/given-grid.ts';

/** Maps without gaps. */
export interface FilledMaps {
  readonly maps: readonly Float32Array[];
  /** Of each map the share of the power of white noise that its observed cells have in the window, over 0. */
  readonly observedShares: Float64Array;
  /** Cells filled, of all maps together. */
  readonly filledCells: number;
}

/**
 * Fills maps, row-major, into copies; those without a gap stay as they are. Of each map `observed` says which cells were,
 * some of them at least: one bit a cell, least significant first, undefined for all. The mean of a cell that was never
 * observed is as far from the `given` one, without one from 0, as those of observed cells are on average. `window` is that
 * of `taper`, undefined for none. Three passes over the maps.
 */
export function fillMaps(
  maps: readonly Float32Array[],
  observed: readonly (Uint8Array | undefined)[],
  given: Float64Array | undefined,
  window: Float64Array | undefined,
): FilledMaps {
  const observedShares = new Float64Array(maps.length).fill(1);
  const masks = maps.map((map, n) => observed[n] && maskFromBits(observed[n], map.length));
  if (masks.every((mask) => mask === undefined)) return { maps, observedShares, filledCells: 0 };
  const means = cellMeans(maps, masks, given);
  let filledCells = 0;
  const filled = maps.map((map, n) => {
    const mask = masks[n];
    if (mask === undefined) return map;
    let deviation = 0;
    let count = 0;
    let power = 0;
    for (let i = 0; i < map.length; i++) {
      if (mask[i] === 0) continue;
      deviation += map[i]! - means[i]!;
      count++;
      power += window === undefined ? 1 : window[i]! ** 2;
    }
    observedShares[n] = power / map.length;
    filledCells += map.length - count;
    return map.map((cell, i) => (mask[i] === 1 ? cell : means[i]! + deviation / count));
  });
  return { maps: filled, observedShares, filledCells };
}

/** Mean of each cell over the maps it was observed in; of one that never was what is said of it in `fillMaps`. */
function cellMeans(
  maps: readonly Float32Array[],
  masks: readonly (Uint8Array | undefined)[],
  given: Float64Array | undefined,
): Float64Array {
  const sums = new Float64Array(maps[0]!.length);
  const counts = new Float64Array(sums.length);
  for (const [n, map] of maps.entries()) {
    const mask = masks[n];
    for (let i = 0; i < map.length; i++) {
      if (mask?.[i] === 0) continue;
      sums[i] = sums[i]! + map[i]!;
      counts[i] = counts[i]! + 1;
    }
  }
  const means = sums.map((sum, i) => sum / counts[i]!);
  let off = 0;
  let seen = 0;
  for (let i = 0; i < means.length; i++) {
    if (counts[i] === 0) continue;
    off += means[i]! - (given?.[i] ?? 0);
    seen++;
  }
  return means.map((mean, i) => (counts[i]! > 0 ? mean : (given?.[i] ?? 0) + off / seen));
}
