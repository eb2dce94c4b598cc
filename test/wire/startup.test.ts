/** A server that cannot start says why in one sentence on standard error and exits with code 2. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { inNamespace, tmpfsMissing } from '../support/namespace.ts';

const program = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'dist', 'cli', 'main.js');

const missing = tmpfsMissing();
const onTmpfs = missing === undefined ? test : test.skip;
const unless = missing === undefined ? '' : ` (skipped: ${missing})`;

describe('a server that cannot start', () => {
  let dataDir = '';
  let holder: Server | undefined;
  beforeEach(() => {
    dataDir = mkdtempSync(join(tmpdir(), 'homeostat-startup-'));
  });
  afterEach(async () => {
    await new Promise<void>((resolve) => (holder ? holder.close(() => resolve()) : resolve()));
    holder = undefined;
    rmSync(dataDir, { recursive: true, force: true });
  });

  const environment = (extra: Record<string, string> = {}) => ({
    PATH: process.env['PATH'],
    HOME: dataDir,
    HOMEOSTAT_LOG_LEVEL: 'silent',
    HOMEOSTAT_DATA_DIR: dataDir,
    HOMEOSTAT_GRPC_ADDRESS: '127.0.0.1:0',
    HOMEOSTAT_HTTP_ADDRESS: '127.0.0.1:0',
    ...extra,
  });
  const serve = (extra: Record<string, string> = {}) =>
    new Promise<{ code: number | null; stderr: string }>((resolve) => {
      const child = spawn(process.execPath, [program, 'serve'], {
        env: environment(extra),
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      let stderr = '';
      child.stderr.on('data', (chunk) => {
        stderr += chunk;
      });
      child.once('close', (code) => resolve({ code, stderr }));
    });
  /** A port nobody will answer on, or, held, one that is taken. */
  const port = (held: boolean) =>
    new Promise<number>((resolve) => {
      const server = createServer();
      server.listen(0, '127.0.0.1', () => {
        const { port: found } = server.address() as { port: number };
        if (held) {
          holder = server;
          resolve(found);
        } else server.close(() => resolve(found));
      });
    });
  const oneSentence = (stderr: string, says: RegExp) => {
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(stderr).toMatch(/^homeostat: /);
    expect(stderr).toMatch(says);
  };

  test('without a broker names its address', async () => {
    const away = await port(false);
    const { code, stderr } = await serve({ HOMEOSTAT_NATS_URL: `nats://127.0.0.1:${away}` });
    expect(code).toBe(2);
    oneSentence(stderr, new RegExp(`127\\.0\\.0\\.1:${away}`));
  });

  test('without a database names its address, not its password', async () => {
    const away = await port(false);
    const secret = join(dataDir, 'secret');
    writeFileSync(secret, Buffer.alloc(32, 1), { mode: 0o600 });
    const { code, stderr } = await serve({
      HOMEOSTAT_DATABASE_URL: `postgresql://u:hunter2@127.0.0.1:${away}/fleet`,
      HOMEOSTAT_SECRET_FILE: secret,
    });
    expect(code).toBe(2);
    oneSentence(stderr, new RegExp(`127\\.0\\.0\\.1:${away}`));
    expect(stderr).not.toContain('hunter2');
  });

  test.each(['GRPC', 'HTTP'])('because the %s port is taken names the address', async (edge) => {
    const taken = await port(true);
    const { code, stderr } = await serve({ [`HOMEOSTAT_${edge}_ADDRESS`]: `127.0.0.1:${taken}` });
    expect(code).toBe(2);
    oneSentence(stderr, new RegExp(`127\\.0\\.0\\.1:${taken}`));
  });

  test('because its data directory is a file', async () => {
    const file = join(dataDir, 'file');
    writeFileSync(file, '');
    const { code, stderr } = await serve({ HOMEOSTAT_DATA_DIR: file });
    expect(code).toBe(2);
    oneSentence(stderr, /is not a folder/);
  });

  test('because of its configuration lists every fault', async () => {
    const { code, stderr } = await serve({ HOMEOSTAT_GRPC_ADDRESS: 'here', HOMEOSTAT_SESSION_LIMIT: 'many' });
    expect(code).toBe(2);
    expect(stderr).toContain('HOMEOSTAT_GRPC_ADDRESS');
    expect(stderr).toContain('HOMEOSTAT_SESSION_LIMIT');
  });

  const serveOn = (mount: string) => {
    const variables = Object.entries(environment())
      .filter(([name]) => name !== 'PATH' && name !== 'HOME')
      .map(([name, value]) => `${name}='${value}'`);
    return inNamespace(`${mount} && ${variables.join(' ')} exec '${process.execPath}' '${program}' serve`);
  };

  onTmpfs(`because its data directory is read-only${unless}`, () => {
    const { status, stderr } = serveOn(`mount -t tmpfs -o ro tmpfs '${dataDir}'`);
    expect(status).toBe(2);
    oneSentence(stderr, /is read-only/);
  });

  onTmpfs(`because its data directory is full${unless}`, () => {
    const { status, stderr } = serveOn(`mount -t tmpfs -o size=100k tmpfs '${dataDir}'`);
    expect(status).toBe(2);
    oneSentence(stderr, /is full/);
  });
});
