/** What every engine promises. The same suite runs on SQLite and on PostgreSQL. */
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Migration, Store } from '../../src/store/store.ts';
import { describeOnStores, type TestDatabase } from '../support/stores.ts';
import { startScript } from './child.ts';
import { addCounter, amounts, type CounterTables, counterMigrations } from './counter-table.ts';

interface ValueTables {
  test_value: { id: string; whole: number | null; fraction: number | null; bytes: Uint8Array | null };
}

const valueMigrations: readonly Migration[] = [
  {
    id: 'test_002_value',
    async up(schema, types) {
      await schema
        .createTable('test_value')
        .addColumn('id', types.text, (column) => column.primaryKey())
        .addColumn('whole', types.integer)
        .addColumn('fraction', types.real)
        .addColumn('bytes', types.bytes)
        .execute();
    },
  },
];

describeOnStores('the store', (engine) => {
  let database: TestDatabase;
  let store: Store;

  beforeEach(async () => {
    database = await engine.createDatabase();
    store = await database.open([...counterMigrations, ...valueMigrations]);
  });
  afterEach(() => database.dispose());

  test('a command that throws is rolled back alone, those beside it are kept', async () => {
    const results = await Promise.allSettled(
      ['a', 'b', 'c'].map((id) =>
        store.transact(async (tx) => {
          await addCounter(tx, id);
          if (id === 'b') throw new RangeError('refused');
          return id;
        }),
      ),
    );
    expect(results.map((result) => result.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(results[1]).toMatchObject({ reason: expect.any(RangeError) });
    expect(await amounts(store)).toEqual({ a: 0, c: 0 });
  });

  test('a statement that fails fails its command, even when the command catches the error', async () => {
    await store.transact((tx) => addCounter(tx, 'a'));
    const command = store.transact(async (tx) => {
      await addCounter(tx, 'b');
      await addCounter(tx, 'a').catch(() => undefined);
      return 'looks fine';
    });
    await expect(command).rejects.toThrow();
    expect(await amounts(store)).toEqual({ a: 0 });
  });

  test('a query that outlives its command is refused and changes nothing', async () => {
    let late: Promise<unknown> | undefined;
    await store.transact(async (tx) => {
      await addCounter(tx, 'a');
      const queries = tx.query<CounterTables>();
      late = Promise.resolve()
        .then(() => store.transact((next) => addCounter(next, 'c')))
        .then(() => queries.insertInto('test_counter').values({ id: 'b', amount: 0, version: 1 }).execute());
      late.catch(() => undefined);
    });
    await expect(late).rejects.toThrow('after its transaction had ended');
    expect(await amounts(store)).toEqual({ a: 0, c: 0 });
  });

  test('reads outside see only what is committed, reads inside see the command itself', async () => {
    await store.transact(async (tx) => {
      await addCounter(tx, 'a', 7);
      expect(await amounts(tx)).toEqual({ a: 7 });
      expect(await amounts(store)).toEqual({});
    });
    expect(await amounts(store)).toEqual({ a: 7 });
  });

  test('a write outside a transaction is refused', async () => {
    const row = { id: 'a', amount: 0, version: 1 };
    await expect(
      store.query<CounterTables>().insertInto('test_counter').values(row).execute(),
    ).rejects.toThrow('use transact');
    expect(await amounts(store)).toEqual({});
  });

  test('what a command learns after its commit is announced once, before it resolves, and never when it fails', async () => {
    const seen: string[] = [];
    const command = (id: string, fail = false) =>
      store
        .transact(async (tx) => {
          tx.afterCommit(() => seen.push(`commit ${id}`));
          await addCounter(tx, id);
          if (fail) throw new Error('refused');
        })
        .then(
          () => seen.push(`resolve ${id}`),
          () => seen.push(`reject ${id}`),
        );
    await command('a');
    await command('b', true);
    expect(seen).toEqual(['commit a', 'resolve a', 'reject b']);
  });

  test('a command sees what those that resolved before it was given have committed', async () => {
    for (let i = 1; i <= 20; i++) {
      await store.transact((tx) => addCounter(tx, `row_${i}`));
      expect(Object.keys(await store.transact((tx) => amounts(tx)))).toHaveLength(i);
      expect(Object.keys(await amounts(store))).toHaveLength(i);
    }
  });

  test('of many updates of one version, one hits', async () => {
    await store.transact((tx) => addCounter(tx, 'a'));
    const hits = await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        store.transact(async (tx) => {
          const { numUpdatedRows } = await tx
            .query<CounterTables>()
            .updateTable('test_counter')
            .set({ amount: i, version: 2 })
            .where('id', '=', 'a')
            .where('version', '=', 1)
            .executeTakeFirst();
          return numUpdatedRows;
        }),
      ),
    );
    expect(hits.filter((hit) => hit === 1n)).toHaveLength(1);
    expect(hits.filter((hit) => hit === 0n)).toHaveLength(7);
  });

  test('a rule checked by reading holds against commands that run at the same time', async () => {
    const admitted = await Promise.all(
      Array.from({ length: 6 }, (_, i) =>
        store.transact(async (tx) => {
          if (Object.keys(await amounts(tx)).length >= 2) return false;
          await addCounter(tx, `row_${i}`);
          return true;
        }),
      ),
    );
    expect(admitted.filter(Boolean)).toHaveLength(2);
    expect(Object.keys(await amounts(store))).toHaveLength(2);
  });

  test('transfers between counters, some refused, keep the sum and match a model', async () => {
    const ids = ['a', 'b', 'c'];
    const transfer = fc.record({
      from: fc.constantFrom(...ids),
      to: fc.constantFrom(...ids),
      amount: fc.integer({ min: 1, max: 9 }),
      refused: fc.boolean(),
    });
    const change = async (tx: Parameters<Parameters<Store['transact']>[0]>[0], id: string, by: number) => {
      const amount = (await amounts(tx))[id]! + by;
      await tx
        .query<CounterTables>()
        .updateTable('test_counter')
        .set({ amount })
        .where('id', '=', id)
        .execute();
    };
    await store.transact(async (tx) => {
      for (const id of ids) await addCounter(tx, id);
    });
    const model: Record<string, number> = { a: 0, b: 0, c: 0 };
    await fc.assert(
      fc.asyncProperty(fc.array(transfer, { minLength: 1, maxLength: 8 }), async (transfers) => {
        const results = await Promise.allSettled(
          transfers.map(({ from, to, amount, refused }) =>
            store.transact(async (tx) => {
              await change(tx, from, -amount);
              if (refused) throw new Error('refused half-way');
              await change(tx, to, amount);
            }),
          ),
        );
        transfers.forEach(({ from, to, amount, refused }, i) => {
          expect(results[i]!.status).toBe(refused ? 'rejected' : 'fulfilled');
          if (refused) return;
          model[from]! -= amount;
          model[to]! += amount;
        });
        expect(await amounts(store)).toEqual(model);
      }),
      { numRuns: 25 },
    );
  });

  test('values come back as they went in', async () => {
    const values: ValueTables['test_value'][] = [
      { id: '2^53-1', whole: Number.MAX_SAFE_INTEGER, fraction: Number.MAX_VALUE, bytes: new Uint8Array(0) },
      {
        id: '-(2^53-1)',
        whole: Number.MIN_SAFE_INTEGER,
        fraction: Number.MIN_VALUE,
        bytes: Uint8Array.of(0, 0),
      },
      { id: 'null', whole: null, fraction: null, bytes: null },
      {
        id: '',
        whole: 0,
        fraction: Number.POSITIVE_INFINITY,
        bytes: Uint8Array.from({ length: 256 }, (_, i) => i),
      },
      { id: 'é 漢 😀 \' " \\ %', whole: -1, fraction: 0.1 + 0.2, bytes: Uint8Array.of(255) },
      { id: 'whole fraction', whole: 1, fraction: 3, bytes: new Uint8Array(100_000).fill(7) },
    ];
    await store.transact((tx) => tx.query<ValueTables>().insertInto('test_value').values(values).execute());
    const read = await store.query<ValueTables>().selectFrom('test_value').selectAll().execute();
    const byId = new Map(read.map((row) => [row.id, row]));
    for (const value of values) expect(byId.get(value.id)).toStrictEqual(value);
  });

  test('part of a buffer is stored as that part', async () => {
    const part = Uint8Array.of(9, 8, 7, 6).subarray(1, 3);
    const row = { id: 'part', whole: null, fraction: null, bytes: part };
    await store.transact((tx) => tx.query<ValueTables>().insertInto('test_value').values(row).execute());
    const read = await store.query<ValueTables>().selectFrom('test_value').select('bytes').executeTakeFirst();
    expect(read!.bytes).toStrictEqual(Uint8Array.of(8, 7));
  });

  test('counts and sums are numbers', async () => {
    await store.transact(async (tx) => {
      await addCounter(tx, 'a', 2 ** 50);
      await addCounter(tx, 'b', 2 ** 50);
    });
    const row = await store
      .query<CounterTables>()
      .selectFrom('test_counter')
      .select(({ fn }) => [fn.countAll<number>().as('count'), fn.sum<number>('amount').as('sum')])
      .executeTakeFirstOrThrow();
    expect(row).toEqual({ count: 2, sum: 2 ** 51 });
  });

  test.each<[string, unknown]>([
    ['NaN', Number.NaN],
    ['a boolean', true],
    ['undefined', undefined],
    ['a date', new Date(0)],
    ['text with U+0000', 'a\0b'],
    ['an integer beyond 2^53-1', 2n ** 53n],
  ])('%s cannot be stored and is refused', async (_, value) => {
    const command = store.transact((tx) =>
      tx
        .query<ValueTables>()
        .updateTable('test_value')
        .set({ whole: 1 })
        .where('fraction', '=', value as number)
        .execute(),
    );
    await expect(command).rejects.toThrow(TypeError);
  });

  test('a value of the wrong type for its column is refused', async () => {
    const insert = (row: Record<string, unknown>) =>
      store.transact((tx) =>
        tx
          .query<ValueTables>()
          .insertInto('test_value')
          .values(row as never)
          .execute(),
      );
    await expect(insert({ id: 'a', whole: 'many' })).rejects.toThrow();
    await expect(insert({ id: 'b', whole: 1.5 })).rejects.toThrow();
    expect(await store.query<ValueTables>().selectFrom('test_value').selectAll().execute()).toEqual([]);
  });

  test('text is ordered by code point and LIKE minds the case', async () => {
    const ids = ['B', 'a', 'Z', 'b', 'é', '_', '10', '9'];
    await store.transact(async (tx) => {
      for (const id of ids) await addCounter(tx, id);
    });
    const select = () => store.query<CounterTables>().selectFrom('test_counter').select('id');
    const ordered = await select().orderBy('id').execute();
    expect(ordered.map((row) => row.id)).toEqual(['10', '9', 'B', 'Z', '_', 'a', 'b', 'é']);
    const alike = await select().where('id', 'like', 'b%').execute();
    expect(alike).toEqual([{ id: 'b' }]);
  });

  test('an acknowledged commit survives the kill of its process at any instant', async () => {
    for (const acknowledgements of [1, 40, 97]) {
      const own = await engine.createDatabase();
      try {
        const { dataDir, databaseUrl } = own.location;
        const child = startScript('commit-until-killed.ts', dataDir, databaseUrl ?? '');
        const exited = once(child, 'exit');
        const acknowledged: string[] = [];
        for await (const line of createInterface({ input: child.stdout })) {
          acknowledged.push(line);
          if (acknowledged.length >= acknowledgements) child.kill('SIGKILL');
        }
        expect(await exited).toEqual([null, 'SIGKILL']);
        const stored = await amounts(await own.open(counterMigrations));
        expect(acknowledged.filter((id) => stored[id] === undefined)).toEqual([]);
        expect(acknowledged.length).toBeGreaterThanOrEqual(acknowledgements);
      } finally {
        await own.dispose();
      }
    }
  });

  test('closing while busy finishes what was taken, then refuses', async () => {
    const taken = Array.from({ length: 40 }, (_, i) => store.transact((tx) => addCounter(tx, `row_${i}`)));
    const closed = store.close();
    await expect(store.transact(async () => undefined)).rejects.toMatchObject({ reason: 'STORE_DOWN' });
    await Promise.all([...taken, closed]);
    expect(await store.readable()).toBe(false);
    expect(Object.keys(await amounts(await database.open()))).toHaveLength(40);
  });

  test('it tells whether it is readable and how long commits took', async () => {
    expect(await store.readable()).toBe(true);
    const before = store.recentCommitSeconds().length;
    for (let i = 0; i < 3; i++) await store.transact((tx) => addCounter(tx, `row_${i}`));
    const after = store.recentCommitSeconds();
    expect(after.length).toBe(before + 3);
    for (const seconds of after) expect(seconds).toBeGreaterThan(0);
  });
});
