/**
 * The secret file: 32 bytes that everything secret in the database is sealed under. With SQLite it is made on first
 * start, in the data directory; several servers on one database share one file, which the operator gives them.
 */
import { closeSync, fsyncSync, linkSync, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { AppError } from './errors.ts';
import { SECRET_BYTES } from './sealing.ts';
import type { Secrets } from './secrets.ts';

/** Its name in the data directory. */
export const SECRET_FILE = 'secret.key';

export interface SecretFileOptions {
  /** The file the operator names; empty for the one in the data directory. */
  readonly path: string;
  readonly dataDir: string;
  /** Whether a missing file is made. With a shared database it must be given, equal on every server. */
  readonly mayCreate: boolean;
  readonly secrets: Secrets;
}

/**
 * Reads the secret, or makes it. Throws AppError SECRET_FILE with one sentence when it is missing, too open to others,
 * or not 32 bytes long.
 */
export function readSecret(options: SecretFileOptions): Uint8Array {
  const path = options.path || join(options.dataDir, SECRET_FILE);
  const found = read(path);
  if (found !== undefined) return checked(path, found);
  if (options.path !== '') throw unusable(path, 'does not exist: make it with `head -c 32 /dev/urandom`');
  if (!options.mayCreate)
    throw unusable(
      path,
      'does not exist, and with PostgreSQL it is never made: give every server the same 32 bytes by HOMEOSTAT_SECRET_FILE',
    );
  create(path, options.secrets.bytes(SECRET_BYTES), Buffer.from(options.secrets.bytes(6)).toString('hex'));
  return checked(path, read(path) ?? new Uint8Array());
}

function read(path: string): Uint8Array | undefined {
  try {
    return new Uint8Array(readFileSync(path));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    throw unusable(path, `cannot be read (${code ?? String(error)})`, error);
  }
}

function checked(path: string, bytes: Uint8Array): Uint8Array {
  if (bytes.length !== SECRET_BYTES) throw unusable(path, `has ${bytes.length} bytes, not ${SECRET_BYTES}`);
  const { mode } = statSync(path);
  if ((mode & 0o007) !== 0)
    throw unusable(path, 'can be read by everybody: take that away with `chmod o-rwx`');
  return bytes;
}

/** The file has its name only once its bytes are on disk; of two servers that make it at once one wins. */
function create(path: string, secret: Uint8Array, suffix: string): void {
  const pending = `${path}.${suffix}`;
  try {
    const file = openSync(pending, 'wx', 0o600);
    try {
      writeSync(file, secret);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    linkSync(pending, path);
    const folder = openSync(dirname(path), 'r');
    fsyncSync(folder);
    closeSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST')
      throw unusable(
        path,
        `cannot be made (${(error as NodeJS.ErrnoException).code ?? String(error)})`,
        error,
      );
  } finally {
    rmSync(pending, { force: true });
  }
}

function unusable(path: string, why: string, cause?: unknown): AppError {
  const message = `the secret file ${path} ${why}`;
  return new AppError(
    { domain: 'homeostat.edge', reason: 'SECRET_FILE', kind: 'FAILED_PRECONDITION', message },
    { path },
    { cause },
  );
}
