/** Script: commits counters one after the other and prints each id once it is acknowledged, until it is killed. */
import { systemClock } from '../../src/clock.ts';
import { createLogger } from '../../src/observability.ts';
import { openStore } from '../../src/store/open.ts';
import { addCounter, counterMigrations } from './counter-table.ts';

const [dataDir, databaseUrl] = process.argv.slice(2);
const store = await openStore({
  dataDir: dataDir!,
  ...(databaseUrl && { databaseUrl }),
  clock: systemClock,
  logger: createLogger('silent'),
});
await store.migrate(counterMigrations);
for (let i = 0; ; i++) {
  const id = `row_${i}`;
  await store.transact((tx) => addCounter(tx, id));
  // Alternates with three that share a commit.
  const group = [1, 2, 3].map((part) => `group_${i}_${part}`);
  await Promise.all(group.map((member) => store.transact((tx) => addCounter(tx, member))));
  process.stdout.write(`${[id, ...group].join('\n')}\n`);
}
