/**
 * The other side of the numeric benches: a Python process that is kept alive and times calls itself, on one thread. The
 * first of `python3` and `/usr/bin/python3` that has NumPy and SciPy is taken.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import {
  type Bench,
  type BenchOptions,
  type BenchRow,
  type Comparison,
  format,
  runPairs,
} from './harness.ts';

/** A running Python process. */
interface NumpyPeer {
  /** Versions of Python, NumPy and SciPy. */
  readonly versions: string;
  /** Makes the call `name` of the program for a size once; gives a number that tells what it computed. */
  check(name: string, size: number): Promise<number>;
  /** Makes the call `repetitions` times; gives the seconds it took. */
  time(name: string, size: number, repetitions: number): Promise<number>;
  stop(): Promise<void>;
}

const LOOP = `
import json, sys, time
made = {}
print(json.dumps(f'Python {sys.version.split()[0]}, NumPy {numpy.__version__}, SciPy {scipy.__version__}'), flush=True)
for line in sys.stdin:
    name, size, repetitions = json.loads(line)
    key = (name, size)
    if key not in made:
        made[key] = CALLS[name](size)
    call, checksum = made[key]
    start = time.perf_counter()
    for _ in range(repetitions):
        call()
    took = time.perf_counter() - start
    print(json.dumps([took, float(checksum())]), flush=True)
`;

const ONE_THREAD = {
  OMP_NUM_THREADS: '1',
  OPENBLAS_NUM_THREADS: '1',
  MKL_NUM_THREADS: '1',
};

const NEEDED = 'import numpy, scipy, scipy.fft';

/** What to install when no Python here has them. */
const NUMPY_MISSING = 'needs NumPy and SciPy: apt-get install python3-numpy python3-scipy';

/**
 * Starts Python on a program that defines CALLS: by name, a function of a size that gives a call and a checksum of what
 * the call last computed. Undefined when NumPy or SciPy is missing.
 */
async function startNumpy(program: string): Promise<NumpyPeer | undefined> {
  const python = ['python3', '/usr/bin/python3'].find((name) => spawnSync(name, ['-c', NEEDED]).status === 0);
  if (python === undefined) return undefined;
  const child = spawn(python, ['-u', '-c', `${NEEDED}\n${program}\n${LOOP}`], {
    env: { ...process.env, ...ONE_THREAD },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async (): Promise<unknown> => {
    const { value, done } = await lines.next();
    if (done) throw new Error('the Python side has ended');
    return JSON.parse(value);
  };
  const call = async (name: string, size: number, repetitions: number) => {
    child.stdin.write(`${JSON.stringify([name, size, repetitions])}\n`);
    return (await answer()) as [seconds: number, checksum: number];
  };
  return {
    versions: String(await answer()),
    check: async (name, size) => (await call(name, size, 1))[1],
    time: async (name, size, repetitions) => (await call(name, size, repetitions))[0],
    async stop() {
      child.stdin.end();
      await ended;
    },
  };
}

/** One computation on both sides. */
export interface SidedCall {
  /** Of the Python program. */
  readonly name: string;
  readonly size: number;
  readonly title: string;
  readonly bar: number;
  /** The product's side. */
  readonly call: () => void;
  /** Of what `call` last computed, from the same values as Python's. */
  readonly checksum: () => number;
  /** Greatest relative difference of the checksums. */
  readonly tolerance: number;
  readonly notes: readonly string[];
}

/**
 * A bench of computations beside a Python program. Of each, in turn, the calls for rising sizes; they are made one after
 * the other, since their arrays are large. `finish` may add to a row; the last row of each says how its cost grows.
 */
export function besideNumpy(
  { id, title, bar }: Pick<Bench, 'id' | 'title' | 'bar'>,
  program: string,
  computations: () => readonly (readonly (() => SidedCall)[])[],
  finish: (row: BenchRow, side: SidedCall) => BenchRow = (row) => row,
): Bench {
  const measure = async (peer: NumpyPeer, options: BenchOptions): Promise<BenchRow[]> => {
    const rows: BenchRow[] = [];
    for (const calls of computations()) {
      const sizes: number[] = [];
      const ofOne: BenchRow[] = [];
      for (const make of calls) {
        const side = make();
        sizes.push(side.size);
        ofOne.push(finish(await compareWithNumpy(peer, id, side, options), side));
      }
      const last = ofOne.at(-1)!;
      const notes = [...last.notes, growthNote(ofOne, sizes), peer.versions];
      rows.push(...ofOne.slice(0, -1), { ...last, notes });
    }
    return rows;
  };
  return {
    id,
    title,
    bar,
    async run(options) {
      const peer = await startNumpy(program);
      if (peer === undefined) return { id, title, skipped: NUMPY_MISSING };
      try {
        return await measure(peer, options);
      } finally {
        await peer.stop();
      }
    },
  };
}

/** Seconds of calls between two looks at the clock. */
const BATCH_SECONDS = 0.02;

/** Compares one computation, pair by pair, each side for `seconds`. A first call on both must give the same result. */
async function compareWithNumpy(
  peer: NumpyPeer,
  id: string,
  side: SidedCall,
  { pairs, seconds }: { pairs: number; seconds: number },
): Promise<BenchRow> {
  const { name, size, call } = side;
  call();
  const [ours, theirs] = [side.checksum(), await peer.check(name, size)];
  if (!(Math.abs(ours - theirs) <= side.tolerance * Math.abs(theirs))) {
    throw new Error(`${side.title}: ${ours} here, ${theirs} in Python`);
  }
  const comparison: Comparison = {
    id,
    name: side.title,
    bar: side.bar,
    unit: 'calls/s',
    pairs,
    async a() {
      // Compiled code gets its last form from another thread: let that thread have its turn first.
      await pause(1);
      return runFor(call, seconds);
    },
    b: () => timeFor((repetitions) => peer.time(name, size, repetitions), seconds),
    notes: side.notes,
  };
  return runPairs(comparison);
}

/** Calls a second. */
function runFor(call: () => void, seconds: number): number {
  const start = performance.now();
  let batch = 1;
  let repetitions = 0;
  for (;;) {
    const before = performance.now();
    for (let k = 0; k < batch; k++) call();
    repetitions += batch;
    const after = performance.now();
    if (after - start >= seconds * 1000) return repetitions / ((after - start) / 1000);
    if (after - before < BATCH_SECONDS * 500) batch *= 2;
  }
}

/** Calls a second of a side that tells how long so many took. */
async function timeFor(time: (repetitions: number) => Promise<number>, seconds: number): Promise<number> {
  let [repetitions, took, batch] = [0, 0, 1];
  while (took < seconds) {
    const batchSeconds = await time(batch);
    took += batchSeconds;
    repetitions += batch;
    if (batchSeconds < BATCH_SECONDS / 2) batch *= 2;
  }
  return repetitions / took;
}

/** How time grows with the cells of a square: the exponent fitted to the rows of its sizes, both sides. */
function growthNote(rows: readonly BenchRow[], sizes: readonly number[]): string {
  const slope = (rates: readonly number[]) => {
    const x = sizes.map((size) => Math.log(size * size));
    const y = rates.map((rate) => -Math.log(rate));
    const mean = (values: readonly number[]) => values.reduce((sum, v) => sum + v, 0) / values.length;
    const [mx, my] = [mean(x), mean(y)];
    const across = x.reduce((sum, v, k) => sum + (v - mx) * (y[k]! - my), 0);
    return across / x.reduce((sum, v) => sum + (v - mx) ** 2, 0);
  };
  const [a, b] = [slope(rows.map((row) => row.rateA)), slope(rows.map((row) => row.rateB))];
  return `time grows as cells^${format(a)} (baseline ^${format(b)})`;
}
