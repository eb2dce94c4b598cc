/**
 * Acknowledged means audited: commands run from several clients at once while the server is killed with SIGKILL, after
 * a number of answers that a seed picks. Afterwards each answered command has its rows and its entry of the audit
 * trail, the trail links, and every answered append can be proven. CHAOS_SEED in the environment picks other points.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type Clients, createClients, RpcError } from '../../src/client/client.ts';
import { readServerRecord } from '../../src/data-dir.ts';
import { leafHash, verifyInclusion } from '../../src/numeric/merkle.ts';
import { createRandom } from '../../src/random.ts';
import { eventually } from '../support/eventually.ts';

const program = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'dist', 'cli', 'main.js');
const SEED = Number(process.env['CHAOS_SEED'] ?? 1);
const KILLS = 5;
const CLIENTS = 8;

let dataDir = '';
let server: ChildProcess | undefined;

beforeAll(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'homeostat-audit-kill-'));
});
afterAll(async () => {
  await kill('SIGTERM'); // In order, so that its broker ends with it.
  rmSync(dataDir, { recursive: true, force: true });
});

async function kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  const child = server;
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await gone;
}

/** Starts the server and resolves with its clients once it serves; each call is made so often at most. */
async function start(attempts = 1): Promise<Clients> {
  const child = spawn(process.execPath, [program, 'serve'], {
    env: {
      ...process.env,
      HOMEOSTAT_LOG_LEVEL: 'error',
      HOMEOSTAT_DATA_DIR: dataDir,
      HOMEOSTAT_GRPC_ADDRESS: '127.0.0.1:0',
      HOMEOSTAT_HTTP_ADDRESS: '127.0.0.1:0',
      HOMEOSTAT_SESSION_LIMIT: '100000',
      HOMEOSTAT_SESSION_OWNER_LIMIT: '10000',
      HOMEOSTAT_RPC_RATE_ENTERPRISE: '100000000',
    },
    stdio: 'ignore',
  });
  server = child;
  const record = await eventually(
    async () => readServerRecord(dataDir),
    (found) => found?.pid === child.pid && found!.grpcAddress !== '',
    60_000,
  );
  const token = readFileSync(join(dataDir, 'admin.key'), 'utf8').trim();
  return createClients({ address: record!.grpcAddress, token, retry: { attempts } });
}

/** What was answered OK: the method and what it was about. */
interface Answered {
  readonly method: string;
  readonly resource: string;
  /** Index of an append. */
  readonly index?: bigint;
}

test('identity.U2 every acknowledged command has its entry, its rows and its proof after kill -9', async () => {
  const random = createRandom(SEED, 0xa0d17);
  const answered: Answered[] = [];
  let calls = 0;
  for (let round = 0; round < KILLS; round++) {
    const clients = await start();
    const killAt = answered.length + 20 + Math.floor(random.uniform() * 300);
    const work = Array.from({ length: CLIENTS }, async (_, client) => {
      for (;;) {
        const key = `call-${calls++}`;
        try {
          answered.push(await command(clients, key, client));
        } catch (error) {
          if (error instanceof RpcError && error.reason === 'OVERLOADED') continue;
          return; // The server is gone: this call was not answered, so nothing is asked of it.
        }
        if (answered.length >= killAt) await kill();
      }
    });
    await Promise.all(work);
    clients.close();
    expect(answered.length).toBeGreaterThanOrEqual(killAt);
  }

  // Right after a start the server may be busy for a while; what it holds is asked for until it answers.
  const clients = await start(50);
  try {
    const entries = await auditOf(clients);
    for (const { method, resource } of answered) expect(entries.get(`${method} ${resource}`)).toBe(1);

    const steps = [];
    for await (const step of clients.audit.verifyAudit({})) steps.push(step);
    expect(steps.at(-1)).toMatchObject({ done: true });
    expect(steps.at(-1)!.checked).toBeGreaterThanOrEqual(BigInt(answered.length));

    for (const { resource, index } of answered) {
      if (index === undefined) {
        const sessionId = resource.replace('session/', '');
        expect((await clients.session.getSession({ sessionId })).session?.sessionId).toBe(sessionId);
        continue;
      }
      const { leafData, checkpoint, proof } = await clients.ledger.getInclusionProof({ index });
      const { treeSize: size, root } = checkpoint!;
      expect(verifyInclusion({ index, size, leafHash: leafHash(leafData), proof, root })).toBe(true);
    }
  } finally {
    clients.close();
  }
}, 300_000);

async function command(clients: Clients, key: string, client: number): Promise<Answered> {
  if (client % 2 === 0) {
    const { session } = await clients.session.createSession({ idempotencyKey: key, name: key });
    return {
      method: 'homeostat.session.v1.SessionService/CreateSession',
      resource: `session/${session!.sessionId}`,
    };
  }
  const kind = 'external.chaos';
  const { index } = await clients.ledger.append({ kind, key, payload: Buffer.from(key) });
  return { method: 'homeostat.ledger.v1.LedgerService/Append', resource: `${kind}/${key}`, index };
}

/** How many entries each method and resource has. */
async function auditOf(clients: Clients): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>();
  let pageToken = '';
  do {
    const reply = await clients.audit.queryAudit({ code: 'OK', page: { pageSize: 500, pageToken } });
    for (const { method, resource } of reply.entries) {
      const key = `${method} ${resource}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    pageToken = reply.nextPageToken;
  } while (pageToken !== '');
  return counts;
}
