/** Which server holds a data directory: what its record says, and whether that process is still the one that wrote it. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readServerRecord, runningServer, type ServerRecord } from '../../data-dir.ts';

export interface ServerState {
  /** The last server that did not give the directory up, alive or not. */
  readonly record: ServerRecord | undefined;
  /** The same, when it is alive. */
  readonly running: ServerRecord | undefined;
  /** There is a record, and it cannot be read. */
  readonly torn: boolean;
}

export function lookAtServer(dataDir: string): ServerState {
  const record = readServerRecord(dataDir);
  return {
    record,
    running: runningServer(dataDir),
    torn: record === undefined && existsSync(join(dataDir, 'server.json')),
  };
}
