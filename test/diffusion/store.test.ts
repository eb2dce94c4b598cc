/** Priors in SQL, on every engine. */
import { create } from '@bufbuild/protobuf';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { createPriorStore, diffusionMigrations } from '../../src/diffusion/store.ts';
import { PriorSchema } from '../../src/gen/homeostat/diffusion/v1/diffusion_service_pb.ts';
import type { Store } from '../../src/store/store.ts';
import { describeOnStores, type TestDatabase } from '../support/stores.ts';

describeOnStores('priors', (engine) => {
  let database: TestDatabase;
  let store: Store;
  beforeEach(async () => {
    database = await engine.createDatabase();
    store = await database.open(diffusionMigrations);
  });
  afterEach(() => database.dispose());

  const prior = {
    rows: 2,
    cols: 3,
    components: [
      {
        weight: 1,
        mean: Float64Array.from([1, -2, 3.5, 0, Number.MIN_VALUE, 6]),
        power: Float64Array.from([1e-9, 2, 3, 4]),
      },
    ],
  };
  const messageOf = (priorId: string) => create(PriorSchema, { priorId, version: 1n, rows: 2, cols: 3 });

  test('come back bit for bit, newest first, and are gone once removed', async () => {
    const table = createPriorStore(store);
    await store.transact(async (tx) => {
      for (const id of ['a', 'c', 'b']) await table.add(tx, messageOf(id), prior);
    });
    expect(await table.load('b')).toEqual({ message: messageOf('b'), prior });
    expect(await table.find('c')).toEqual(messageOf('c'));
    expect(await table.load('d')).toBeUndefined();
    expect(await table.find('d')).toBeUndefined();
    const ids = async (before: string | undefined, limit: number) =>
      (await table.list(before, limit)).map(({ priorId }) => priorId);
    expect(await ids(undefined, 2)).toEqual(['c', 'b']);
    expect(await ids('b', 2)).toEqual(['a']);
    const removed = await store.transact(async (tx) => [
      await table.remove(tx, 'a', 2),
      await table.remove(tx, 'a', 1),
      await table.remove(tx, 'a', 1),
    ]);
    expect(removed).toEqual([{ current: 1 }, 'DELETED', 'NOT_FOUND']);
    expect(await ids(undefined, 9)).toEqual(['c', 'b']);
  });
});
