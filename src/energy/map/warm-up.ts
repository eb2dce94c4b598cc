/**
 * Metrics of one node that are watched before they are judged. A node's first 64 windows make its start: metrics seen
 * in half as many windows begin with the median and covariance of what was watched. A metric that comes later joins
 * after 64 windows of its own. Windows are numbered by the node's own count.
 */

/** Windows a node, and later a metric, is watched before it is judged. */
export const START_WINDOWS = 64;
/** Of a start's windows, those a metric must have come in. */
const START_PRESENT_MIN = START_WINDOWS / 2;

/** A metric watched: its values, and the node's window each came in. */
export interface WatchedMetric {
  readonly metric: number;
  readonly values: number[];
  readonly windows: number[];
}

export class WarmUp {
  readonly #watched = new Map<number, WatchedMetric>();

  static restore(watched: readonly WatchedMetric[]): WarmUp {
    const warmUp = new WarmUp();
    for (const one of watched) {
      warmUp.#watched.set(one.metric, { ...one, values: [...one.values], windows: [...one.windows] });
    }
    return warmUp;
  }

  /** Everything watched, borrowed. */
  state(): WatchedMetric[] {
    return [...this.#watched.values()];
  }

  watch(metric: number, value: number, window: number): void {
    let one = this.#watched.get(metric);
    if (one === undefined) {
      one = { metric, values: [], windows: [] };
      this.#watched.set(metric, one);
    }
    one.values.push(value);
    one.windows.push(window);
  }

  /**
   * Takes out the metrics that may join now, at most `room`, in order of their places. `windows` is how many windows
   * the node has had, `isStart` whether it judges nothing yet.
   */
  takeReady(windows: number, isStart: boolean, room: number): WatchedMetric[] {
    if (windows < START_WINDOWS || this.#watched.size === 0) return [];
    const needed = isStart ? START_PRESENT_MIN : START_WINDOWS;
    const ready = [...this.#watched.values()]
      .filter(({ values }) => values.length >= needed)
      .sort((a, b) => a.metric - b.metric)
      .slice(0, room);
    for (const { metric } of ready) this.#watched.delete(metric);
    return ready;
  }
}

export function median(sorted: Float64Array): number {
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/**
 * Covariance about the means over the windows both metrics came in, divided by the geometric mean of their counts:
 * with nothing missing the plain covariance, and positive semidefinite as a matrix either way.
 */
export function watchedCovariance(a: WatchedMetric, b: WatchedMetric): number {
  const meanA = a.values.reduce((sum, value) => sum + value, 0) / a.values.length;
  const meanB = b.values.reduce((sum, value) => sum + value, 0) / b.values.length;
  let sum = 0;
  for (let i = 0, k = 0; i < a.values.length; i++) {
    while (k < b.windows.length && b.windows[k]! < a.windows[i]!) k++;
    if (b.windows[k] === a.windows[i]) sum += (a.values[i]! - meanA) * (b.values[k]! - meanB);
  }
  return sum / Math.sqrt(a.values.length * b.values.length);
}
