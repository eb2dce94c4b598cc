// The folder of what the suites of one run share, which TEST_RUN_FOLDER names.
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export function makeRunFolder() {
  const folder = mkdtempSync(join(tmpdir(), 'homeostat-run-'));
  // PostgreSQL may run as another account, which has to reach its folder in this one.
  chmodSync(folder, 0o711);
  process.env.TEST_RUN_FOLDER = folder;
}

/** Stops the PostgreSQL cluster that suites may have started (postgresql-cluster.ts), and removes the folder. */
export function removeRunFolder() {
  const folder = process.env.TEST_RUN_FOLDER;
  const pidFile = join(folder, 'postgresql', 'data', 'postmaster.pid');
  // SIGQUIT is PostgreSQL's immediate shutdown.
  if (existsSync(pidFile)) process.kill(Number(readFileSync(pidFile, 'utf8').split('\n')[0]), 'SIGQUIT');
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
}
