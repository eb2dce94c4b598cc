/** A throw-away PostgreSQL cluster on loopback, from the server programs of the machine; never run as root. */
import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { chown, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { eventually } from './eventually.ts';

const run = promisify(execFile);

/** The account that runs the server when the tests run as root. */
const SERVER_ACCOUNT = 'postgres';

/** A cluster that is thrown away need not survive a power cut, only crashes of processes. */
const NOT_DURABLE = '-c fsync=off -c full_page_writes=off -c max_connections=200';

export interface PostgresqlDatabases {
  /** Makes an empty database and returns its URL. */
  createDatabase(name: string): Promise<string>;
  /** Ends whoever is connected to a database of `createDatabase`, and empties it: a fifth of what another one takes. */
  emptyDatabase(url: string): Promise<void>;
  dropDatabase(name: string): Promise<void>;
}

export interface PostgresqlCluster extends PostgresqlDatabases {
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

/** A cluster of its own, for suites that crash it or count its connections; others share one. */
export async function startPostgresqlCluster(): Promise<PostgresqlCluster> {
  const folder = await mkdtemp(join(tmpdir(), 'homeostat-pg-'));
  return startIn(folder, await freePort());
}

async function startIn(folder: string, port: number): Promise<PostgresqlCluster> {
  const programs = findPrograms()!;
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
  const start = () =>
    program(
      'pg_ctl',
      '-D',
      data,
      '-l',
      join(folder, 'log'),
      '-w',
      '-o',
      `-h 127.0.0.1 -p ${port} -k ${folder} ${NOT_DURABLE}`,
      'start',
    );
  const stop = () => program('pg_ctl', '-D', data, '-w', '-m', 'immediate', 'stop');
  // A linguistic default collation, so that the tests notice text that is compared by it.
  const icu = ['--locale-provider=icu', '--icu-locale=en'];
  const make = (...options: string[]) =>
    program('initdb', '-D', data, '-U', 'homeostat', '-A', 'trust', '-E', 'UTF8', '--no-sync', ...options);
  await make(...icu).catch(() => make());
  await start();
  return {
    ...databasesAt(port),
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

const EMPTY = `
  select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid();
  drop schema public cascade;
  create schema public`;

/** The databases of a cluster on loopback. */
function databasesAt(port: number): PostgresqlDatabases {
  const urlOf = (name: string) => `postgresql://homeostat@127.0.0.1:${port}/${name}`;
  const administer = async (statement: string, url = urlOf('postgres')) => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      await client.query(statement);
    } finally {
      await client.end();
    }
  };
  return {
    async createDatabase(name) {
      await administer(`create database ${name}`);
      return urlOf(name);
    },
    emptyDatabase: (url) => administer(EMPTY, url),
    dropDatabase: (name) => administer(`drop database if exists ${name} with (force)`),
  };
}

/** What is known of the run's cluster: its port once it serves, or why it does not. */
interface SharedCluster {
  readonly port?: number;
  readonly failure?: string;
}

/**
 * The cluster that the suites of a run share, in the folder of the run (run-folder.mjs). The first
 * suite that asks starts it; one that asks meanwhile, in another process, waits for it.
 */
export async function sharedPostgresqlDatabases(): Promise<PostgresqlDatabases> {
  const run = process.env['TEST_RUN_FOLDER']!;
  const folder = join(run, 'postgresql');
  const said = join(run, 'postgresql.json');
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    const known = await eventually(
      async () => readShared(said),
      (shared) => shared !== undefined,
      60_000,
    );
    if (known!.port === undefined) throw new Error(`the shared PostgreSQL did not start: ${known!.failure}`);
    return databasesAt(known!.port);
  }
  try {
    const port = await freePort();
    const cluster = await startIn(folder, port);
    writeFileSync(said, JSON.stringify({ port } satisfies SharedCluster));
    return cluster;
  } catch (error) {
    writeFileSync(said, JSON.stringify({ failure: String(error) } satisfies SharedCluster));
    throw error;
  }
}

function readShared(file: string): SharedCluster | undefined {
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  return text === '' ? undefined : (JSON.parse(text) as SharedCluster);
}
