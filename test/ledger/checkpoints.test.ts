/** Published checkpoints as a server takes them over, while others publish. */
import { expect, test } from '@jest/globals';
import { ledgerMigrations } from '../../src/ledger/context.ts';
import { createDamage } from '../../src/ledger/damage.ts';
import type { CheckpointRow, NoteTables } from '../../src/ledger/note/checkpoint-store.ts';
import { createCheckpoints } from '../../src/ledger/note/checkpoints.ts';
import { createSigner } from '../../src/ledger/note/signer.ts';
import type { Queries, Store } from '../../src/store/store.ts';
import { openTestStore } from '../support/stores.ts';

const signer = createSigner('example.org/log', new Uint8Array(32).fill(3));

/** Reads that each see what was committed when they are made: the first from `before`, the others from `after`. */
function readsBetween(before: Store, after: Store): Pick<Store, 'query'> {
  let reads = 0;
  return { query: <Tables>(): Queries<Tables> => (reads++ === 0 ? before : after).query<Tables>() };
}

test('a checkpoint that another server publishes between two reads is taken over, and is no damage', async () => {
  const before = await openTestStore(ledgerMigrations);
  const after = await openTestStore(ledgerMigrations);
  try {
    const damage = createDamage();
    const checkpoints = createCheckpoints({
      reader: readsBetween(before.store, after.store),
      signer,
      damage,
    });
    const rows = [5, 7].map((size) => checkpoints.sign(size, new Uint8Array(32).fill(size), 1_000));
    const insert = (store: Store, values: readonly CheckpointRow[]) =>
      store.transact((tx) =>
        tx
          .query<NoteTables>()
          .insertInto('ledger_checkpoint')
          .values([...values])
          .execute(),
      );
    await insert(before.store, rows.slice(0, 1));
    await insert(after.store, rows);
    expect((await checkpoints.refresh())?.size).toBe(7);
    expect(damage.range()).toBeUndefined();
  } finally {
    await before.dispose();
    await after.dispose();
  }
});
