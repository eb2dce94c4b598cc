/** Checks of the database: that it can be opened, is not damaged, and holds the steps of the schema this version has. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../../clock.ts';
import type { Config } from '../../config.ts';
import { AppError, describeError } from '../../errors.ts';
import {
  inspectPostgresql,
  inspectSqlite,
  type PostgresqlView,
  type SchemaView,
  type SqliteView,
} from '../../store/inspect.ts';
import type { Migration } from '../../store/store.ts';
import type { TimeReading } from './clocks.ts';
import { DEADLINE_MS, LATE, withDeadline } from './deadline.ts';
import { type Finding, formatBytes, ok, problem, warning } from './finding.ts';
import { quoted } from './remedy.ts';
import type { ServerState } from './server-state.ts';

export interface DatabaseCheck {
  readonly findings: readonly Finding[];
  /** The database's clock; SQLite has none. */
  readonly time?: TimeReading;
}

export interface DatabaseCheckOptions {
  readonly config: Config;
  readonly clock: Clock;
  readonly server: ServerState;
  /** Every step of the schema but the store's own. */
  readonly migrations: readonly Migration[];
  /** Whether to read the whole database however long it takes. */
  readonly thorough: boolean;
}

export async function checkDatabase(options: DatabaseCheckOptions): Promise<DatabaseCheck> {
  return options.config.DATABASE_URL === '' ? checkSqlite(options) : checkPostgresql(options);
}

const RESTORE =
  'Stop the server and put a backup of homeostat.db there; what is damaged does not mend itself.';

async function checkSqlite(options: DatabaseCheckOptions): Promise<DatabaseCheck> {
  const { config, clock, server, migrations, thorough } = options;
  const dataDir = config.DATA_DIR;
  // The search for damage ends at the deadline by itself, and what was found until then counts.
  const giveUp = new AbortController();
  const timer = thorough ? undefined : clock.after(DEADLINE_MS, () => giveUp.abort());
  const inUse = server.running !== undefined;
  const view = await inspectSqlite({ dataDir, inUse, migrations, signal: giveUp.signal });
  timer?.cancel();
  if (view === undefined) return { findings: [judgeAbsent(dataDir, inUse)] };
  if (view.failure !== undefined) return { findings: [explain(view.failure)] };
  return { findings: [judgeSqlite(view), judgeDamage(view), ...judgeSchema(view.schema, dataDir)] };
}

function judgeAbsent(dataDir: string, inUse: boolean): Finding {
  const check = 'database.connection';
  const file = join(dataDir, 'homeostat.db');
  if (inUse) return problem(check, `${file} is gone, though a server runs on it.`, RESTORE);
  const key = join(dataDir, 'admin.key');
  if (!existsSync(key)) return ok(check, `${file} is not there yet: the first server makes it.`);
  return problem(
    check,
    `${file} is gone, and ${key} of it is still there: a server will not start.`,
    `Put the database back from a backup, or begin anew: mv ${quoted(key)} ${quoted(`${key}.old`)}`,
  );
}

function judgeSqlite({ path, bytes, journalMode }: SqliteView): Finding {
  const check = 'database.connection';
  const found = `SQLite in ${path} has ${formatBytes(bytes)} and journal mode ${journalMode}`;
  if (journalMode === 'wal') return ok(check, `${found}.`);
  return warning(
    check,
    `${found} instead of wal.`,
    'homeostat serve   # sets it; nothing else may have the file open',
  );
}

function judgeDamage({ bytes, damage }: SqliteView): Finding {
  const check = 'database.damage';
  if (damage === undefined)
    return warning(
      check,
      `${formatBytes(bytes)} could not be searched for damage within ${DEADLINE_MS / 1000} s.`,
      'homeostat doctor --thorough   # takes its time',
    );
  if (damage.length === 0) return ok(check, 'PRAGMA quick_check found no damage.');
  return problem(check, `PRAGMA quick_check found damage: ${damage[0]}.`, RESTORE);
}

function judgeSchema({ appliedCount, pending, unknown }: SchemaView, place: string): Finding[] {
  const check = 'database.schema';
  if (unknown.length > 0)
    return [
      problem(
        check,
        `It was written by a newer version: ${unknown[0]} is unknown to this one.`,
        'Install the newer version again; this one will not start on it.',
      ),
    ];
  if (pending.length === 0) return [ok(check, `All ${appliedCount} steps of the schema are applied.`)];
  return [
    warning(
      check,
      `${pending.length} of ${appliedCount + pending.length} steps of the schema are pending, ${pending[0]} first.`,
      `Back up ${place}, then start this version (homeostat serve), which applies them.`,
    ),
  ];
}

/** What to do about each reason for which a database does not open. */
const REMEDIES: Readonly<Record<string, string>> = {
  DATABASE_URL_INVALID: 'Set HOMEOSTAT_DATABASE_URL to postgresql://user:password@host:port/name.',
  DATABASE_DAMAGED: RESTORE,
  DATABASE_READ_ONLY: 'Run this as the user who runs the server.',
};

function explain(failure: unknown): Finding {
  const reason = failure instanceof AppError ? failure.reason : '';
  const remedy =
    REMEDIES[reason] ?? 'Start it and let this machine and user reach it, or correct HOMEOSTAT_DATABASE_URL.';
  return problem('database.connection', `${sentence(describeError(failure))}.`, remedy);
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

async function checkPostgresql(options: DatabaseCheckOptions): Promise<DatabaseCheck> {
  const { config, clock, migrations } = options;
  const view = await withDeadline(clock, DEADLINE_MS, () =>
    inspectPostgresql({ databaseUrl: config.DATABASE_URL, migrations, clock, timeoutMs: DEADLINE_MS }),
  );
  if (view === LATE) {
    const found = `The database of HOMEOSTAT_DATABASE_URL did not answer within ${DEADLINE_MS / 1000} s.`;
    return {
      findings: [
        problem('database.connection', found, 'Look at its log and its load, and at the network between.'),
      ],
    };
  }
  if (view.failure !== undefined) return { findings: [explain(view.failure)] };
  const findings = [...judgePostgresql(view), ...judgeSchema(view.schema, view.address)];
  return { findings, time: view.time };
}

function judgePostgresql({
  address,
  version,
  readOnly,
  fsyncOff,
  mayCreate,
  schema,
}: PostgresqlView): Finding[] {
  const check = 'database.connection';
  const findings: Finding[] = [];
  if (readOnly)
    findings.push(
      problem(
        check,
        `PostgreSQL ${version} at ${address} takes no writes.`,
        'Name the primary in HOMEOSTAT_DATABASE_URL.',
      ),
    );
  else findings.push(ok(check, `PostgreSQL ${version} at ${address} answers and takes writes.`));
  if (fsyncOff)
    findings.push(
      warning(
        'database.durability',
        'It runs with fsync off: a crash of its host loses what was acknowledged.',
        'ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf();',
      ),
    );
  if (!mayCreate && schema.pending.length > 0)
    findings.push(
      problem(
        'database.permissions',
        `This user may not make tables, and ${schema.pending.length} steps of the schema are pending.`,
        'GRANT CREATE ON SCHEMA public TO <the user in HOMEOSTAT_DATABASE_URL>;',
      ),
    );
  return findings;
}
