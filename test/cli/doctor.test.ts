/** The command as a whole: before the first server, beside a healthy one, with a configuration that cannot be used. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { findNats, isAtLeast } from '../../src/bus/find-nats.ts';
import { freePort } from '../../src/bus/port.ts';
import { readArguments, renderHelp } from '../../src/cli/command.ts';
import { doctor } from '../../src/cli/doctor.ts';
import { CliFailure } from '../../src/cli/failure.ts';
import { systemClock } from '../../src/clock.ts';
import {
  environmentOf,
  findingsOf,
  makeFolder,
  of,
  problemsIn,
  removeFolder,
  type ServerProcess,
  startServerProcess,
  startSilence,
} from './doctor-world.ts';

let folder: string;
let server: ServerProcess;
beforeAll(async () => {
  folder = await makeFolder();
  server = await startServerProcess(environmentOf(join(folder, 'data')));
});
afterAll(async () => {
  await server.stop();
  await removeFolder(folder);
});

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs the command in an environment, on a fake terminal or into a pipe. */
async function run(
  environment: Record<string, string>,
  args: readonly string[],
  isTTY = false,
): Promise<Ended> {
  let out = '';
  let err = '';
  const before = { ...process.env };
  for (const name of Object.keys(process.env)) if (name.startsWith('HOMEOSTAT_')) delete process.env[name];
  Object.assign(process.env, environment);
  try {
    const { given, positionals } = readArguments(doctor, args);
    const code = await doctor.run(given, positionals, {
      clock: systemClock,
      out: { write: (text) => (out += text), isTTY, hasColors: () => true },
      err: { write: (text) => (err += text) },
      signal: new AbortController().signal,
    });
    return { code, out, err };
  } finally {
    for (const name of Object.keys(environment)) delete process.env[name];
    Object.assign(process.env, before);
  }
}

/** Figures and places differ from run to run; a folder in memory is said on systems whose temporary folder is. */
function masked(text: string): string {
  return text
    .replaceAll(join(folder, 'data'), 'DIR')
    .replace(/^.*\(tmpfs\).*\n.*\n/m, '')
    .replace(/\d+(\.\d+)*/g, '#')
    .replace(/# (bytes|[KMGT]iB)/g, '# B')
    .replace(/nats-server # is \S.*$/m, 'nats-server # is PLACE.');
}

const BUFFERED = `\
  WARNING  It acknowledges before it syncs (BUFFERED): a power failure can lose the last telemetry.
           -> Use nats-server # or newer with sync_interval: always; the managed broker then sets it itself.
`;
const SYNCED = `\
  OK       It syncs every message before it acknowledges it (SYNCED).
`;

describe('beside a healthy server', () => {
  test('the terminal shows every check by group, its figures, and no problem', async () => {
    const synced = isAtLeast((await findNats())!.version, [2, 10, 0]);
    const { code, out, err } = await run(server.environment, []);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(masked(out)).toBe(`configuration
  OK       # of # variables are set, and all can be used.
  OK       gRPC on #:# and HTTP on #:# stay on loopback.

machine
  OK       Node # is # or newer.
  OK       # B of # B of memory are left.
  OK       # files may be open; # connections need #.

data
  OK       DIR can be written.
  OK       The server with pid # holds DIR.
  OK       Only their owner may read the # files with secrets.
  OK       # B are free in DIR, enough for telemetry up to its bound of # B.

broker
  OK       nats-server # is PLACE.
  OK       The managed nats-server runs with pid #.
  OK       The NATS server at #:# is version #.
${synced ? SYNCED : BUFFERED}\
  OK       JetStream is enabled.
  OK       Messages in the streams: TELEMETRY # (# B), EVENTS # (# B), DEAD_LETTERS # (# B).

database
  OK       SQLite in DIR/homeostat.db has # B and journal mode wal.
  OK       PRAGMA quick_check found no damage.
  OK       All # steps of the schema are applied.

clock
  OK       The clock is not behind what was written last.
  OK       The clock is within # s of the broker's.

server
  OK       The server with pid # is alive: its event loop turns.
  OK       All # services serve.

# problems, # warning${synced ? 's' : ''}, # ok.
`);
  });

  test('a terminal with colors shows the same words', async () => {
    const [plain, colored] = [await run(server.environment, []), await run(server.environment, [], true)];
    expect(colored.out).toContain('\x1b[32mOK\x1b[0m');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are what is taken away
    expect(masked(colored.out.replace(/\x1b\[[\d;]*m/g, ''))).toBe(masked(plain.out));
  });

  test('--json is for programs: stable names, severities, and a remedy with all that is not OK', async () => {
    const { code, out, err } = await run(server.environment, ['--json']);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const report = JSON.parse(out) as { status: string; findings: Array<Record<string, string>> };
    expect(['OK', 'WARNING']).toContain(report.status);
    expect(report.findings.length).toBeGreaterThan(15);
    for (const { check, severity, found, remedy } of report.findings) {
      expect(check).toMatch(/^[a-z]+\.[a-z]+$/);
      expect(found).toBeTruthy();
      expect(remedy === undefined).toBe(severity === 'OK');
    }
  });

  test('--thorough times the disk and leaves nothing behind', async () => {
    const dataDir = server.environment['HOMEOSTAT_DATA_DIR']!;
    const findings = await findingsOf(server.environment, { thorough: true });
    expect(of(findings, 'data.flush')[0]?.found).toMatch(/^A write of 4 KiB is on disk in \d+\.\d ms/);
    expect(readdirSync(dataDir).filter((name) => name.startsWith('probe'))).toEqual([]);
  });

  test('a nats-server of another version than the running one is noticed', async () => {
    const command = join(folder, 'nats-server');
    writeFileSync(command, '#!/bin/sh\necho nats-server: v2.99.0\n', { mode: 0o755 });
    const findings = await findingsOf(server.environment, { nats: { places: [command] } });
    expect(of(findings, 'broker.replaced')).toMatchObject([
      { severity: 'WARNING', found: expect.stringMatching(/^nats-server 2\.99\.0 is installed while/) },
    ]);
  });

  test('other settings than those it was started with are noticed', async () => {
    const port = await freePort();
    const environment = { ...server.environment, HOMEOSTAT_GRPC_ADDRESS: `127.0.0.1:${port}` };
    expect(of(await findingsOf(environment), 'server.addresses')).toMatchObject([
      { severity: 'WARNING', found: expect.stringContaining(`not on 127.0.0.1:${port}`) },
    ]);
  });
});

describe('before the first server', () => {
  test('an empty machine has no problem, and nothing is made', async () => {
    const dataDir = join(folder, 'none', 'yet');
    const { code, out, err } = await run(environmentOf(dataDir), []);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toContain(`${dataDir} is not there yet: the first server makes it.`);
    expect(out).toContain('homeostat.db is not there yet');
    expect(out).toMatch(/\n0 problems, /);
    expect(existsSync(join(folder, 'none'))).toBe(false);
  });
});

describe('a configuration that cannot be used', () => {
  test('is a problem per fault, each with what to do, and exit code 1', async () => {
    const { code, out } = await run(
      environmentOf(folder, {
        HOMEOSTAT_SESSION_LIMIT: 'many',
        HOMEOSTAT_GRPC_ADRESS: '127.0.0.1:1',
        HOMEOSTAT_XYZZY: '1',
      }),
      [],
    );
    expect(code).toBe(1);
    expect(out).toContain('HOMEOSTAT_SESSION_LIMIT: must be a whole number 1..1000000, not "many".');
    expect(out).toContain('-> Set HOMEOSTAT_SESSION_LIMIT to 1..1000000, or unset it.');
    expect(out).toContain('-> unset HOMEOSTAT_GRPC_ADRESS   # or did you mean HOMEOSTAT_GRPC_ADDRESS?');
    expect(out).toContain('-> unset HOMEOSTAT_XYZZY\n');
    expect(out).toMatch(/\n3 problems, /);
  });

  test.each([
    [{ HOMEOSTAT_GRPC_ADDRESS: '0.0.0.0:50051' }, /beyond loopback/, /ALLOW_PLAINTEXT=true/],
    [{ HOMEOSTAT_NATS_CREDS_FILE: '/x' }, /needs HOMEOSTAT_NATS_URL/, /Set HOMEOSTAT_NATS_URL/],
    [
      { HOMEOSTAT_RPC_DEADLINE_MS: '300000', HOMEOSTAT_RPC_DEADLINE_MAX_MS: '1000' },
      /may not exceed/,
      /Lower/,
    ],
  ])('because values do not go together: %j', async (extra, found, remedy) => {
    const findings = of(await findingsOf(environmentOf(folder, extra)), 'configuration.variables');
    expect(findings).toMatchObject([
      { severity: 'PROBLEM', found: expect.stringMatching(found), remedy: expect.stringMatching(remedy) },
    ]);
  });
});

describe('arguments that cannot be used', () => {
  test.each([[['--probe', '--json']], [['--probe', '--thorough']], [['--quick']], [['now']]])(
    '%j end with exit code 2',
    async (args) => {
      const ended = run({}, args).then(
        () => undefined,
        (error: unknown) => error,
      );
      expect(await ended).toBeInstanceOf(CliFailure);
      expect(await ended).toMatchObject({ exitCode: 2 });
    },
  );

  test('the help names every option', () => {
    const help = renderHelp(doctor as never);
    for (const option of ['--json', '--thorough', '--probe']) expect(help).toContain(option);
  });
});

describe('--probe', () => {
  test('is quiet and ends with 0 while the server serves, wherever it listens', async () => {
    const named = { ...server.environment, HOMEOSTAT_HTTP_ADDRESS: server.httpAddress };
    const everywhere = server.httpAddress.replace('127.0.0.1', '0.0.0.0');
    const open = { ...named, HOMEOSTAT_HTTP_ADDRESS: everywhere, HOMEOSTAT_ALLOW_PLAINTEXT: 'true' };
    for (const environment of [server.environment, named, open])
      expect(await run(environment, ['--probe'])).toEqual({ code: 0, out: '', err: '' });
  });

  test('ends with 1 and one sentence where nobody serves', async () => {
    const away = environmentOf(folder, { HOMEOSTAT_HTTP_ADDRESS: `127.0.0.1:${await freePort()}` });
    const cases = [
      [environmentOf(join(folder, 'none')), /no server runs/],
      [away, /does not answer: .*ECONNREFUSED/],
      [environmentOf(folder, { HOMEOSTAT_SESSION_LIMIT: 'many' }), /configuration cannot be used/],
    ] as const;
    for (const [environment, sentence] of cases) {
      const { code, out, err } = await run(environment, ['--probe']);
      expect({ code, out }).toEqual({ code: 1, out: '' });
      expect(err).toMatch(/^homeostat: [^\n]+\n$/);
      expect(err).toMatch(sentence);
    }
  });

  test('gives up on a server that accepts and stays silent in under a second', async () => {
    const silence = await startSilence();
    const startMs = performance.now();
    const environment = environmentOf(folder, { HOMEOSTAT_HTTP_ADDRESS: `127.0.0.1:${silence.port}` });
    expect(await run(environment, ['--probe'])).toMatchObject({ code: 1 });
    expect(performance.now() - startMs).toBeLessThan(1_000);
    await silence.stop();
  });
});

test('what hangs costs its deadline once: silent broker and database together take under 5 s', async () => {
  const silence = await startSilence();
  const startMs = performance.now();
  const secret = join(folder, 'shared-secret');
  writeFileSync(secret, Buffer.alloc(32, 1), { mode: 0o600 });
  const findings = await findingsOf(
    environmentOf(join(folder, 'none'), {
      HOMEOSTAT_NATS_URL: `nats://127.0.0.1:${silence.port}`,
      HOMEOSTAT_DATABASE_URL: `postgresql://u:hunter2@127.0.0.1:${silence.port}/fleet`,
      HOMEOSTAT_SECRET_FILE: secret,
    }),
  );
  expect(performance.now() - startMs).toBeLessThan(5_000);
  expect(problemsIn(findings)).toEqual(['broker.connection', 'database.connection']);
  expect(JSON.stringify(findings)).not.toContain('hunter2');
  await silence.stop();
});

test('every check is in docs/doctor.md, and every check there exists', () => {
  const root = join(import.meta.dirname, '../..');
  const sources = readdirSync(join(root, 'src/cli/doctor')).map((name) =>
    readFileSync(join(root, 'src/cli/doctor', name), 'utf8'),
  );
  const inSources = [
    ...sources
      .join('\n')
      .matchAll(/'((?:configuration|machine|data|broker|database|clock|server)\.[a-z]+)'/g),
  ]
    .map((match) => match[1]!)
    .filter((name) => !name.endsWith('.json') && name !== 'broker.ts');
  const document = readFileSync(join(root, 'docs/doctor.md'), 'utf8');
  const inDocument = [...document.matchAll(/^\| `([a-z]+\.[a-z]+)` \|/gm)].map((match) => match[1]!);
  expect(inDocument.toSorted()).toEqual([...new Set(inSources)].sort());
});
