/** What suites of DiffusionService share: one world for all their tests, on a SQLite store and one worker thread. */
import { afterAll, beforeAll } from '@jest/globals';
import { diffusionMigrations } from '../../src/diffusion/context.ts';
import { createWorkerPool, type WorkerPool } from '../../src/numeric/worker-pool.ts';
import type { Store } from '../../src/store/store.ts';
import { openTestStore, type TestStore } from '../support/stores.ts';
import { createDiffusionWorld, type DiffusionWorld } from './diffusion-world.ts';

export interface DiffusionSuite {
  /** From the first test on, as `store`. */
  readonly world: DiffusionWorld;
  readonly store: Store;
  readonly pool: WorkerPool;
}

export function useDiffusionSuite(): DiffusionSuite {
  const pool = createWorkerPool({ threads: 1, queueMax: 8 });
  let opened: TestStore;
  let world: DiffusionWorld;
  beforeAll(async () => {
    opened = await openTestStore(diffusionMigrations);
    world = createDiffusionWorld(opened.store, pool);
  });
  afterAll(async () => {
    await pool.close();
    await opened.dispose();
  });
  return {
    pool,
    get world() {
      return world;
    },
    get store() {
      return opened.store;
    },
  };
}
