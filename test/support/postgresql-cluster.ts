/** A throw-away PostgreSQL cluster on loopback, from the server programs of the machine; never run as root. */
import { execFile, spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { chown, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';

const run = promisify(execFile);

/** The account that runs the server when the tests run as root. */
const SERVER_ACCOUNT = 'postgres';

export interface PostgresqlCluster {
  /** Makes an empty database and returns its URL. */
  createDatabase(name: string): Promise<string>;
  dropDatabase(name: string): Promise<void>;
  /** Stops the server at once, as a crash would. */
  crash(): Promise<void>;
  /** Starts it again on the same port. */
  restart(): Promise<void>;
  /** Stops the server and removes its files. */
  dispose(): Promise<void>;
}

/** Folder of `initdb` and `pg_ctl`; undefined where there is none. */
function findPrograms(): string | undefined {
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  const folders = [
    ...(process.env['PATH'] ?? '').split(delimiter),
    ...versions.map((version) => join(debian, version, 'bin')),
  ];
  return folders.find((folder) => ['initdb', 'pg_ctl'].every((program) => existsSync(join(folder, program))));
}

const isRoot = () => process.getuid?.() === 0;

/** Why there can be no cluster here; undefined when there can. */
export function postgresqlMissing(): string | undefined {
  if (findPrograms() === undefined) return 'no PostgreSQL server (initdb, pg_ctl) is installed';
  if (isRoot() && spawnSync('runuser', ['-u', SERVER_ACCOUNT, '--', 'true']).status !== 0)
    return `PostgreSQL does not run as root, and there is no account "${SERVER_ACCOUNT}"`;
  return undefined;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export async function startPostgresqlCluster(): Promise<PostgresqlCluster> {
  const programs = findPrograms()!;
  const folder = await mkdtemp(join(tmpdir(), 'homeostat-pg-'));
  const data = join(folder, 'data');
  if (isRoot()) {
    const { stdout } = await run('id', ['-u', SERVER_ACCOUNT]);
    await chown(folder, Number(stdout), 0);
  }
  const program = (name: string, ...args: string[]) => {
    const path = join(programs, name);
    const options = { cwd: folder };
    return isRoot()
      ? run('runuser', ['-u', SERVER_ACCOUNT, '--', path, ...args], options)
      : run(path, args, options);
  };
  const port = await freePort();
  const start = () =>
    program(
      'pg_ctl',
      '-D',
      data,
      '-l',
      join(folder, 'log'),
      '-w',
      '-o',
      `-h 127.0.0.1 -p ${port} -k ${folder}`,
      'start',
    );
  const stop = () => program('pg_ctl', '-D', data, '-w', '-m', 'immediate', 'stop');
  const urlOf = (name: string) => `postgresql://homeostat@127.0.0.1:${port}/${name}`;
  const administer = async (statement: string) => {
    const client = new pg.Client({ connectionString: urlOf('postgres') });
    await client.connect();
    try {
      await client.query(statement);
    } finally {
      await client.end();
    }
  };
  // A linguistic default collation, so that the tests notice text that is compared by it.
  const icu = ['--locale-provider=icu', '--icu-locale=en'];
  const make = (...options: string[]) =>
    program('initdb', '-D', data, '-U', 'homeostat', '-A', 'trust', '-E', 'UTF8', '--no-sync', ...options);
  await make(...icu).catch(() => make());
  await start();
  return {
    async createDatabase(name) {
      await administer(`create database ${name}`);
      return urlOf(name);
    },
    dropDatabase: (name) => administer(`drop database if exists ${name} with (force)`),
    async crash() {
      await stop();
    },
    async restart() {
      await start();
    },
    async dispose() {
      await stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
