/** Gives one signal to many tasks, in a process of its own: what Node warns about shows on standard error. */
import { createWorkerPool } from '../../../src/numeric/worker-pool.ts';

const pool = createWorkerPool({ threads: 2, queueMax: 40 });
const { signal } = new AbortController();
const tasks = new URL('./tasks.ts', import.meta.url);
const values = new Float64Array([1, 2]);
const sums = await Promise.all(
  Array.from({ length: 40 }, () => pool.run<number>(tasks, 'sum', { values }, { signal })),
);
await pool.close();
console.log(sums.reduce((total, sum) => total + sum, 0));
