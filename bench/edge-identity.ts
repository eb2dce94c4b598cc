/**
 * The product's own identity for the edge that is measured: a database in a folder of its own, the
 * administrator's API key, and an access token made with it. Nothing is written while it is measured.
 */
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock as clock } from '../src/clock.ts';
import { readConfig } from '../src/config.ts';
import { createIdentity, type Identity, identityMigrations } from '../src/identity/context.ts';
import { createIds } from '../src/ids.ts';
import type { Logger, Metrics } from '../src/observability.ts';
import { readPolicies } from '../src/rpc/policies.ts';
import { createSealer } from '../src/sealing.ts';
import { systemSecrets as secrets } from '../src/secrets.ts';
import { identityConfig } from '../src/settings.ts';
import { openStore } from '../src/store/open.ts';

export interface BenchIdentity {
  readonly identity: Identity;
  readonly apiKey: string;
}

/** Ready to be asked. Its folder is left to the system's cleaning of temporary files. */
export async function openIdentity(logger: Logger, metrics: Metrics): Promise<BenchIdentity> {
  const dataDir = mkdtempSync(join(tmpdir(), 'homeostat-bench-'));
  const store = await openStore({ dataDir, clock, logger });
  await store.migrate(identityMigrations);
  const identity = createIdentity({
    config: identityConfig(readConfig({})),
    dataDir,
    store,
    clock,
    logger,
    metrics,
    secrets,
    bus: { record: async () => undefined },
    sealer: createSealer(secrets.bytes(32), secrets),
    newId: createIds(clock),
    ledger: { append: async () => ({ index: 0 }), prove: async () => undefined },
    methods: readPolicies(),
  });
  const { path } = await identity.bootstrap();
  await identity.start();
  return { identity, apiKey: readFileSync(path, 'utf8').trim() };
}
