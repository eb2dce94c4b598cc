/**
 * Checks of the data directory, by looking only: that it can be written, who holds it, what a crash left in it, that
 * its secrets are secret, and that the disk has room for what the streams may grow to.
 */
import { accessSync, constants, readdirSync, type Stats, statfsSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { limitsFor } from '../../bus/streams.ts';
import type { Config } from '../../config.ts';
import { formatMode } from './configuration.ts';
import { type Finding, formatBytes, ok, problem, warning } from './finding.ts';
import { quoted } from './remedy.ts';
import type { ServerState } from './server-state.ts';

const MIB = 1024 ** 2;
/** Room without which the next commits fail. */
const FREE_BYTES_MIN = 256 * MIB;

/** File systems by the magic number in `statfs(2)`. SQLite's log and JetStream need the locks and maps of a local one. */
const NETWORK_FILE_SYSTEMS: Readonly<Record<number, string>> = {
  26985: 'NFS',
  20859: 'SMB',
  4283649346: 'CIFS',
  4266872130: 'SMB2',
  16914839: '9P',
  12805120: 'Ceph',
};
const TMPFS = 0x01021994;

/** Files with a secret: only their owner may read them. */
const SECRETS = [
  'admin.key',
  'secret.key',
  'producer.url',
  'nats/server.url',
  'nats/nats-server.conf',
  'homeostat.db',
];

/** What a write leaves that a crash interrupted. */
const LEFTOVER = /^(server\.json\.new|probe-\d+|.*\.partial)$/;
const PENDING_KEY = /^admin\.key\.[0-9a-v]{10}$/;

/** Everything about the directory but its disk. */
export function checkDataDirectory(config: Config, server: ServerState): Finding[] {
  const path = config.DATA_DIR;
  const stats = statsOf(path);
  if (!stats) return [checkPlace(path)];
  return [
    checkDirectory(path, stats),
    checkHolder(path, server),
    ...checkSecrets(path),
    ...(server.running ? [] : checkLeftovers(path)),
  ];
}

/** Where the directory is not there yet, the one it will be made in must take it. */
function checkPlace(path: string): Finding {
  const check = 'data.directory';
  const parent = nearestExisting(path);
  const refusal = refusalOf(parent);
  if (refusal === undefined) return ok(check, `${path} is not there yet: the first server makes it.`);
  const remedy = `sudo install -d -m 700 -o "$(id -un)" ${quoted(path)}   # or set HOMEOSTAT_DATA_DIR`;
  return problem(check, `${path} is not there and cannot be made in ${parent} (${refusal}).`, remedy);
}

function checkDirectory(path: string, stats: Stats): Finding {
  const check = 'data.directory';
  if (!stats.isDirectory())
    return problem(
      check,
      `${path} is not a folder.`,
      'Set HOMEOSTAT_DATA_DIR to a folder, or move the file away.',
    );
  const refusal = refusalOf(path);
  if (refusal !== undefined) {
    const remedy =
      refusal === 'EROFS'
        ? 'Mount its file system for writing, or set HOMEOSTAT_DATA_DIR to one that is.'
        : `sudo chown -R "$(id -un)" ${quoted(path)}   # or run this as the user who runs the server`;
    return problem(check, `${path} cannot be written by this user (${refusal}).`, remedy);
  }
  if ((stats.mode & 0o002) !== 0) {
    const found = `Everybody on this machine may change what is in ${path} (mode ${formatMode(stats.mode)}).`;
    return problem(check, found, `chmod o= ${quoted(path)}`);
  }
  return ok(check, `${path} can be written.`);
}

function checkHolder(path: string, server: ServerState): Finding {
  const check = 'data.holder';
  const { record } = server;
  if (server.running) return ok(check, `The server with pid ${server.running.pid} holds ${path}.`);
  if (server.torn)
    return warning(
      check,
      `${join(path, 'server.json')} cannot be read: a crash interrupted its writing.`,
      'Nothing to mend: the next start (homeostat serve) writes it anew.',
    );
  if (!record) return ok(check, `No server holds ${path}.`);
  return warning(
    check,
    `The server with pid ${record.pid} ended without giving ${path} up: it crashed or was killed.`,
    'homeostat serve   # takes the directory over; why it ended is at the end of its log, or of dmesg',
  );
}

function checkSecrets(path: string): Finding[] {
  const check = 'data.secrets';
  const there = SECRETS.map((name) => join(path, name)).flatMap((file) => {
    const stats = statsOf(file);
    return stats ? [{ file, mode: stats.mode & 0o777 }] : [];
  });
  const open = there.filter(({ mode }) => (mode & 0o077) !== 0);
  if (open.length === 0) {
    const found = `Only their owner may read the ${there.length} files with secrets.`;
    return there.length === 0 ? [] : [ok(check, found)];
  }
  return open.map(({ file, mode }) => {
    const remedy = `chmod 600 ${quoted(file)}`;
    if ((mode & 0o007) === 0)
      return warning(
        check,
        `The group of ${file} may read it (mode ${formatMode(mode)}): it holds a secret.`,
        remedy,
      );
    const found = `Everybody on this machine may read ${file} (mode ${formatMode(mode)}): it holds a secret.`;
    return problem(check, found, `${remedy}   # whoever may have read it: renew what it holds`);
  });
}

function checkLeftovers(path: string): Finding[] {
  const check = 'data.leftovers';
  const names = ['.', 'nats'].flatMap((folder) =>
    namesIn(join(path, folder)).map((name) => join(folder, name)),
  );
  const left = names.filter((name) => LEFTOVER.test(name.replace(/^nats\//, '')));
  const findings: Finding[] = [];
  if (left.length > 0) {
    const files = left.map((name) => join(path, name));
    findings.push(
      warning(
        check,
        `${files.join(', ')} ${files.length === 1 ? 'is' : 'are'} left of an interrupted write.`,
        `rm ${files.map(quoted).join(' ')}`,
      ),
    );
  }
  const keys = names.filter((name) => PENDING_KEY.test(name));
  if (keys.length > 0)
    findings.push(
      warning(
        check,
        `${keys.map((name) => join(path, name)).join(', ')}: a crash interrupted the making of the admin key.`,
        'homeostat serve   # gives the key its name if it counts; otherwise homeostat token --bootstrap makes a new one',
      ),
    );
  return findings.length > 0 ? findings : [ok(check, 'No write was interrupted.')];
}

/** Room on the disk; `telemetryBytes` is what the stream already takes of its bound, unknown without a broker. */
export function checkDisk(config: Config, telemetryBytes: number | undefined): Finding[] {
  const directory = nearestExisting(config.DATA_DIR);
  const { blocks, bavail, bsize, type } = statfsSync(directory);
  const findings = checkFileSystem(config, directory, type);
  const bound = config.NATS_URL === '' ? limitsFor(blocks * bsize).telemetryBytes : 0;
  findings.push(judgeRoom(directory, bavail * bsize, Math.max(0, bound - (telemetryBytes ?? 0)), bound));
  return findings;
}

function checkFileSystem(config: Config, directory: string, type: number): Finding[] {
  const check = 'data.filesystem';
  const network = NETWORK_FILE_SYSTEMS[type];
  const local = config.DATABASE_URL === '' || config.NATS_URL === '';
  if (network !== undefined && local) {
    const remedy =
      'Set HOMEOSTAT_DATA_DIR to a local disk, or HOMEOSTAT_DATABASE_URL and HOMEOSTAT_NATS_URL to servers.';
    return [
      problem(check, `${directory} is on ${network}: SQLite and JetStream need a local file system.`, remedy),
    ];
  }
  if (type === TMPFS) {
    const found = `${directory} is in memory (tmpfs): what is kept there ends with the machine.`;
    return [warning(check, found, 'Set HOMEOSTAT_DATA_DIR to a folder on a disk.')];
  }
  return [];
}

/** Free bytes against what telemetry may still grow by, and the bound it grows to (0: it lies elsewhere). */
export function judgeRoom(
  directory: string,
  freeBytes: number,
  growthBytes: number,
  boundBytes: number,
): Finding {
  const check = 'data.room';
  const free = `${formatBytes(freeBytes)} are free in ${directory}`;
  const look = `du -xh ${quoted(directory)} | sort -h | tail   # shows what takes room; or set HOMEOSTAT_DATA_DIR to a larger disk`;
  if (freeBytes < FREE_BYTES_MIN)
    return problem(check, `${free}: under ${formatBytes(FREE_BYTES_MIN)} commits soon fail.`, look);
  if (freeBytes < growthBytes + FREE_BYTES_MIN) {
    const found = `${free}; telemetry may grow by ${formatBytes(growthBytes)}, to its bound of ${formatBytes(boundBytes)}.`;
    return warning(check, found, look);
  }
  const enough = boundBytes > 0 ? `, enough for telemetry up to its bound of ${formatBytes(boundBytes)}` : '';
  return ok(check, `${free}${enough}.`);
}

/** The path itself, or the first folder above it that exists. */
export function nearestExisting(path: string): string {
  let at = resolve(path);
  while (!statsOf(at) && dirname(at) !== at) at = dirname(at);
  return at;
}

/** What is at a path; undefined when it cannot be seen. */
export function statsOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined; // Not there, or in a folder this user may not enter: the folder's own check says so.
  }
}

/** Why this user may not write a folder; undefined when he may. */
function refusalOf(folder: string): string | undefined {
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // Not there, or not for this user, which another check says.
  }
}
