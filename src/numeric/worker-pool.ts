/**
 * The worker threads of a server: computations too long for the event loop run here. A task is a named export of a
 * module, usually of the very module that asks for it (`new URL(import.meta.url)`). Threads start with the first task,
 * so an idle server has none. The number of tasks held is bounded; beyond it the pool refuses instead of growing.
 */
import { setMaxListeners } from 'node:events';
import { Piscina } from 'piscina';

export interface WorkerPool {
  /** Number of threads once started. */
  readonly threads: number;
  /**
   * Calls the export `task` of `module` on a thread with a structured clone of `payload` and gives a clone of what it
   * returns. Buffers listed in `transfer` move to the thread instead: the caller loses them. Aborting a waiting task
   * takes it out of the queue; aborting a running one ends its thread, and another takes its place. Rejects with the
   * signal's reason, with WorkersBusyError, with WorkersClosedError, or with what the task throws.
   */
  run<Result>(module: URL, task: string, payload: unknown, options?: RunOptions): Promise<Result>;
  /** Ends all threads at once; what was waiting or running rejects with WorkersClosedError. */
  close(): Promise<void>;
}

export interface RunOptions {
  readonly signal?: AbortSignal;
  readonly transfer?: readonly ArrayBuffer[];
}

export interface WorkerPoolOptions {
  /** Threads, at least 1. */
  readonly threads: number;
  /** Tasks that may wait beside those running, at least 0. */
  readonly queueMax: number;
}

/** Every thread is busy and the queue is full: try again later. */
export class WorkersBusyError extends Error {
  /** Tasks held when this one was refused. */
  readonly tasks: number;

  constructor(tasks: number) {
    super(`all worker threads are busy and ${tasks} tasks are held`);
    this.name = 'WorkersBusyError';
    this.tasks = tasks;
  }
}

/** The pool was closed before the task had ended. */
export class WorkersClosedError extends Error {
  constructor() {
    super('the worker threads are stopped');
    this.name = 'WorkersClosedError';
  }
}

/** Makes a pool without threads yet. */
export function createWorkerPool({ threads, queueMax }: WorkerPoolOptions): WorkerPool {
  const tasksMax = threads + queueMax;
  let tasks = 0;
  let closed = false;
  let pool: Piscina | undefined;

  // Always the full number: with fewer, Piscina does not replace a thread that an abort has ended.
  const start = () => new Piscina({ minThreads: threads, maxThreads: threads, atomics: 'disabled' });

  return {
    threads,
    async run<Result>(module: URL, task: string, payload: unknown, { signal, transfer }: RunOptions = {}) {
      signal?.throwIfAborted();
      if (closed) throw new WorkersClosedError();
      // Counted here: Piscina's own bound does not count waiting tasks that have a signal.
      if (tasks >= tasksMax) throw new WorkersBusyError(tasks);
      pool ??= start();
      // One signal may serve any number of tasks; Node would warn at the eleventh.
      if (signal) setMaxListeners(0, signal);
      tasks++;
      try {
        const options = { filename: module.href, name: task, signal: signal ?? null };
        return (await pool.run(
          payload,
          transfer ? { ...options, transferList: [...transfer] } : options,
        )) as Result;
      } catch (error) {
        signal?.throwIfAborted();
        if (closed) throw new WorkersClosedError();
        throw error;
      } finally {
        tasks--;
      }
    },
    async close() {
      closed = true;
      await pool?.destroy();
    },
  };
}
