/** Turns: asynchronous work that must not overlap with other work of the same key. Keys without work take no memory. */

/** Work of one key runs one after the other, in the order it was asked for. */
export function createTurns() {
  const last = new Map<string, Promise<void>>();
  return <Result>(key: string, work: () => Promise<Result>): Promise<Result> => {
    const run = (last.get(key) ?? Promise.resolve()).then(work);
    const ended = run
      .then(
        () => undefined,
        () => undefined,
      )
      .then(() => {
        if (last.get(key) === ended) last.delete(key);
      });
    last.set(key, ended);
    return run;
  };
}
