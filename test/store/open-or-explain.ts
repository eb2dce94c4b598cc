/** Script: opens the store of a folder and prints, as JSON, the error that stops it, or null. */
import { systemClock } from '../../src/clock.ts';
import type { AppError } from '../../src/errors.ts';
import { createLogger } from '../../src/observability.ts';
import { openStore } from '../../src/store/open.ts';
import { counterMigrations } from './counter-table.ts';

let refusal: unknown = null;
try {
  const store = await openStore({
    dataDir: process.argv[2]!,
    clock: systemClock,
    logger: createLogger('silent'),
  });
  await store.migrate(counterMigrations);
  await store.close();
} catch (error) {
  const { domain, reason, message } = error as AppError;
  refusal = { domain, reason, message };
}
process.stdout.write(JSON.stringify(refusal));
