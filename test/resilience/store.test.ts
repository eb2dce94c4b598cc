/** Checkpoints and log on every engine. */
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Cell } from '../../src/resilience/cells/cell.ts';
import { readPart } from '../../src/resilience/ingest.ts';
import {
  createResilienceStore,
  type ResilienceStore,
  resilienceMigrations,
} from '../../src/resilience/store.ts';
import type { Store } from '../../src/store/store.ts';
import { describeOnStores, type TestDatabase } from '../support/stores.ts';
import { logEntry } from './log-entries.ts';
import { closedWindow, config, foldPart } from './worlds.ts';

describeOnStores('resilience', (engine) => {
  let database: TestDatabase;
  let store: Store;
  let table: ResilienceStore;
  beforeEach(async () => {
    database = await engine.createDatabase();
    store = await database.open(resilienceMigrations);
    table = createResilienceStore(store);
  });
  afterEach(() => database.dispose());

  test('an empty store holds no cells and no log', async () => {
    expect(await table.load()).toEqual({ cells: new Map(), lastPlace: 0 });
  });

  test('a cell comes back bit for bit, in the middle of a window too', async () => {
    const utilization = fc.option(fc.double({ min: 0, max: 2, noNaN: true }), { nil: undefined });
    const stream = fc.array(
      fc.record({
        nodes: fc.dictionary(fc.constantFrom('a', 'b', 'c.d', '__proto__x'), utilization),
        parts: fc.integer({ min: 1, max: 2 }),
        endOfInput: fc.integer({ min: 0, max: 9 }).map((die) => die === 0),
      }),
      { minLength: 1, maxLength: 20 },
    );
    await fc.assert(
      fc.asyncProperty(stream, async (windows) => {
        const cells = new Map<string, Cell>();
        for (const [index, window] of windows.entries())
          foldPart(cells, readPart(closedWindow({ ...window, index }), 'cpu'), { ...config, ceiling: 0.8 });
        await store.transact((tx) => table.save(tx, [...cells.values()], [], 0));
        expect((await table.load()).cells).toEqual(cells);
      }),
      { numRuns: 50 },
    );
  });

  test('a log entry comes back as it was, and the last place with it', async () => {
    const entries = [logEntry(1, 1000, 'c1'), logEntry(2, 1000)];
    await store.transact((tx) => table.save(tx, [], entries, 0));
    expect(await table.listLog({ recordedSinceMs: 0, limit: 10 })).toEqual(entries.reverse());
    expect(await table.load()).toMatchObject({ lastPlace: 2 });
  });

  test('the log is narrowed by scope, time and place', async () => {
    const entries = [
      logEntry(1, 1000, 'c1'),
      logEntry(2, 2000),
      logEntry(3, 3000, 'c1'),
      logEntry(4, 4000, 'c2'),
    ];
    await store.transact((tx) => table.save(tx, [], entries, 0));
    const places = async (filter: Partial<Parameters<ResilienceStore['listLog']>[0]>) =>
      (await table.listLog({ recordedSinceMs: 0, limit: 10, ...filter })).map(({ place }) => place);
    expect(await places({})).toEqual([4, 3, 2, 1]);
    expect(await places({ scope: 'FLEET' })).toEqual([2]);
    expect(await places({ scope: { domain: 'fleet', cluster: 'c1' } })).toEqual([3, 1]);
    expect(await places({ recordedSinceMs: 3000 })).toEqual([4, 3]);
    expect(await places({ beforePlace: 3, limit: 1 })).toEqual([2]);
  });

  test('the log is pruned by the wall time of recording', async () => {
    await store.transact((tx) => table.save(tx, [], [logEntry(1, 1000), logEntry(2, 2000)], 0));
    expect(await table.pruneLog(2000)).toBe(1);
    expect(await table.pruneLog(2000)).toBe(0);
    expect((await table.listLog({ recordedSinceMs: 0, limit: 10 })).map(({ place }) => place)).toEqual([2]);
  });
});
