import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from '@jest/globals';
import {
  createWorkerPool,
  type WorkerPool,
  WorkersBusyError,
  WorkersClosedError,
} from '../../src/numeric/worker-pool.ts';

const tasks = new URL('./support/tasks.ts', import.meta.url);

let pool: WorkerPool;
afterEach(() => pool.close());

/** Flag 0 counts the tasks of `hold` that run, flag 1 lets them go. */
function createFlags(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(8));
}

async function untilRunning(flags: Int32Array, count: number): Promise<void> {
  const deadlineMs = performance.now() + 10_000;
  while (Atomics.load(flags, 0) < count) {
    if (performance.now() > deadlineMs) throw new Error('the tasks did not start');
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

function release(flags: Int32Array): void {
  Atomics.store(flags, 1, 1);
  Atomics.notify(flags, 1);
}

describe('the worker pool', () => {
  test('a task is a named export of a source module and runs on another thread', async () => {
    pool = createWorkerPool({ threads: 2, queueMax: 10 });
    expect(await pool.run<number>(tasks, 'sum', { values: new Float64Array([1, 2, 3.5]) })).toBe(6.5);
    expect(await pool.run<number>(tasks, 'thread', {})).toBeGreaterThan(0);
  });

  test('a payload is copied unless its buffer is transferred', async () => {
    pool = createWorkerPool({ threads: 1, queueMax: 10 });
    const copied = new Float64Array([4, 5]);
    const moved = new Float64Array([6, 7]);
    expect(await pool.run<number>(tasks, 'sum', { values: copied })).toBe(9);
    expect(await pool.run<number>(tasks, 'sum', { values: moved }, { transfer: [moved.buffer] })).toBe(13);
    expect([copied.length, moved.length]).toEqual([2, 0]);
  });

  test('tasks run on all threads at once', async () => {
    pool = createWorkerPool({ threads: 2, queueMax: 10 });
    const flags = createFlags();
    const held = [0, 1].map(() => pool.run<string>(tasks, 'hold', { flags }));
    await untilRunning(flags, 2);
    release(flags);
    expect(await Promise.all(held)).toEqual(['released', 'released']);
  });

  test('a full queue refuses at once, with or without signals, and takes tasks again when one has ended', async () => {
    pool = createWorkerPool({ threads: 1, queueMax: 2 });
    const flags = createFlags();
    const { signal } = new AbortController();
    const held = [{}, { signal }, { signal }].map((options) =>
      pool.run<string>(tasks, 'hold', { flags }, options),
    );
    await expect(pool.run(tasks, 'thread', {}, { signal })).rejects.toThrow(WorkersBusyError);
    await expect(pool.run(tasks, 'thread', {})).rejects.toMatchObject({ tasks: 3 });
    release(flags);
    await Promise.all(held);
    expect(await pool.run<number>(tasks, 'thread', {})).toBeGreaterThan(0);
  });

  test('aborting a running task ends it, rejects with the reason and leaves the pool whole', async () => {
    pool = createWorkerPool({ threads: 1, queueMax: 10 });
    const flags = createFlags();
    const controller = new AbortController();
    const running = pool.run(tasks, 'hold', { flags }, { signal: controller.signal });
    const waiting = pool.run<number>(tasks, 'sum', { values: new Float64Array([1, 1]) });
    await untilRunning(flags, 1);
    const reason = new Error('the caller has gone');
    controller.abort(reason);
    await expect(running).rejects.toBe(reason);
    expect(await waiting).toBe(2);
  });

  test('aborting a waiting task never runs it', async () => {
    pool = createWorkerPool({ threads: 1, queueMax: 10 });
    const flags = createFlags();
    const controller = new AbortController();
    const running = pool.run<string>(tasks, 'hold', { flags });
    const waiting = pool.run(tasks, 'hold', { flags }, { signal: controller.signal });
    await untilRunning(flags, 1);
    controller.abort();
    await expect(waiting).rejects.toBe(controller.signal.reason);
    release(flags);
    expect(await running).toBe('released');
    expect(Atomics.load(flags, 0)).toBe(1);
    await expect(pool.run(tasks, 'thread', {}, { signal: controller.signal })).rejects.toBe(
      controller.signal.reason,
    );
  });

  test('what a task throws reaches the caller', async () => {
    pool = createWorkerPool({ threads: 1, queueMax: 10 });
    await expect(pool.run(tasks, 'fail', { why: 'too short' })).rejects.toMatchObject({
      name: 'RangeError',
      message: 'too short',
    });
    await expect(pool.run(tasks, 'absent', {})).rejects.toThrow();
    expect(await pool.run<number>(tasks, 'thread', {})).toBeGreaterThan(0);
  });

  test('a thread that dies takes its task with it, not the pool', async () => {
    pool = createWorkerPool({ threads: 1, queueMax: 10 });
    const dying = pool.run(tasks, 'exit', {});
    const waiting = pool.run<number>(tasks, 'sum', { values: new Float64Array([2, 3]) });
    await expect(dying).rejects.toThrow();
    expect(await waiting).toBe(5);
  });

  test('closing ends what runs and waits, and refuses what comes after', async () => {
    pool = createWorkerPool({ threads: 1, queueMax: 10 });
    const flags = createFlags();
    const outcomes = [0, 1].map(() => pool.run(tasks, 'hold', { flags }));
    const settled = Promise.allSettled(outcomes);
    await untilRunning(flags, 1);
    await pool.close();
    for (const outcome of await settled)
      expect(outcome).toMatchObject({ reason: expect.any(WorkersClosedError) });
    await expect(pool.run(tasks, 'thread', {})).rejects.toThrow(WorkersClosedError);
    await pool.close();
  });
});

test('one signal serves any number of tasks, without a warning of Node', () => {
  const [loader, script] = ['../support/typescript-loader.mjs', './support/share-signal.ts'].map((path) =>
    fileURLToPath(new URL(path, import.meta.url)),
  );
  const child = spawnSync(process.execPath, ['--import', loader!, script!], { encoding: 'utf8', env: {} });
  expect([child.stderr, child.stdout, child.status]).toEqual(['', '120\n', 0]);
});
