/**
 * Script: commits until the disk of the folder is full, then looks at what is stored, frees some space and goes on.
 * Prints what happened as JSON.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../../src/clock.ts';
import type { AppError } from '../../src/errors.ts';
import { createLogger } from '../../src/observability.ts';
import { openStore } from '../../src/store/open.ts';
import { addCounter, amounts, counterMigrations } from './counter-table.ts';

const dataDir = process.argv[2]!;
const ballast = join(dataDir, 'ballast');
writeFileSync(ballast, new Uint8Array(512 * 1024));
// Time stands still, so that a slow machine does not end a group before all its commands are in.
const clock = { ...systemClock, monotonicMs: () => 0 };
const store = await openStore({ dataDir, clock, logger: createLogger('silent') });
await store.migrate(counterMigrations);

/** Sixteen commands that share a commit; how many of them were acknowledged, and why the others were not. */
async function commitGroup(group: number) {
  const ids = Array.from({ length: 16 }, (_, i) => `${group}_${i}_${'x'.repeat(1_000)}`);
  const results = await Promise.allSettled(ids.map((id) => store.transact((tx) => addCounter(tx, id))));
  const acknowledged = ids.filter((_, i) => results[i]!.status === 'fulfilled');
  const reasons = results.flatMap((result) =>
    result.status === 'rejected' ? [result.reason as AppError] : [],
  );
  return { acknowledged, reasons: [...new Set(reasons.map(({ domain, reason }) => `${domain} ${reason}`))] };
}

const acknowledged: string[] = [];
let group = 0;
let last = await commitGroup(group);
while (last.reasons.length === 0 && group < 10_000) {
  acknowledged.push(...last.acknowledged);
  last = await commitGroup(++group);
}
const stored = Object.keys(await amounts(store)).sort();
rmSync(ballast);
const afterwards = await commitGroup(++group);

// A command that fills the disk half-way makes SQLite roll back the whole transaction, and so those before it.
const sizes = [10, 8_000_000, 10];
const around = await Promise.allSettled(
  sizes.map((size, i) => store.transact((tx) => addCounter(tx, `${i}_${'x'.repeat(size)}`))),
);
const storedLast = Object.keys(await amounts(store)).filter((id) => id.length < 100);
await store.close();
process.stdout.write(
  JSON.stringify({
    acknowledged: acknowledged.length,
    acknowledgedOfTheFullGroup: last.acknowledged.length,
    reasons: last.reasons,
    storedIsAcknowledged: JSON.stringify(stored) === JSON.stringify(acknowledged.sort()),
    acknowledgedAfterwards: afterwards.acknowledged.length,
    aroundTooLarge: around.map((result) =>
      result.status === 'fulfilled' ? 'committed' : (result.reason as AppError).reason,
    ),
    storedAroundTooLarge: storedLast.map((id) => id[0]),
  }),
);
