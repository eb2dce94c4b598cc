/**
 * The first admin's key. The database knows its hash, the file `admin.key` in the data directory (mode 0600) holds the
 * key and a newline, and nothing else ever sees it: it is neither logged nor returned.
 *
 * The two cannot be written as one, so the key first goes into `admin.key.<prefix>`, opened exclusively, then the row
 * is committed, then the file gets its name. After a crash the database tells what such a file is worth: one whose key
 * counts is given its name at the next start. So a committed key is never lost, and of servers that start together,
 * even in one directory, none touches the other's file.
 *
 * The key does not expire: it is the way in when nothing else is. It ends when `recover` replaces it, and whatever
 * became of the administrator, `recover` makes it one again.
 */
import { open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../clock.ts';
import type { Secrets } from '../secrets.ts';
import type { Store, Tx } from '../store/store.ts';
import type { Changes } from './changes.ts';
import { identityStartError } from './errors.ts';
import { issueKey, isUsable, KEY_BYTES, parseApiKey, type StoredKey, secretMatches } from './key/api-key.ts';
import { addKey, findKey, revokeKeys } from './key/key-store.ts';
import { newPrincipal, restored } from './principal/principal.ts';
import { addPrincipal, findPrincipal, savePrincipal } from './principal/principal-store.ts';

/** Id and name of the principal that bootstrap makes, and its role. */
export const ADMIN_ID = 'admin';

const LABEL = 'bootstrap';
const KEY_FILE = 'admin.key';
const PENDING_FILE = /^admin\.key\.[0-9a-v]{10}$/;

export interface BootstrapDeps {
  /** Directory that exists and is writable. */
  readonly dataDir: string;
  readonly store: Store;
  readonly clock: Clock;
  readonly secrets: Secrets;
  /** Tells all servers which credentials to look up anew. */
  readonly note: Changes['note'];
}

/** Where the admin's key lies, and whether it was put there just now. */
export interface BootstrapResult {
  readonly path: string;
  readonly created: boolean;
}

/**
 * Makes the admin and its key if the database has none; of several servers on one database one does it, in its own
 * data directory. Throws AppError ADMIN_KEY_FOREIGN when `admin.key` is there though the database has no admin: it
 * belongs to another database and is not overwritten. Rejects with what the file system or the store throws.
 */
export async function bootstrap(deps: BootstrapDeps): Promise<BootstrapResult> {
  const { dataDir, store } = deps;
  const path = join(dataDir, KEY_FILE);
  // In this order: a server that starts beside this one commits before it names its file.
  const keyFileExists = await exists(path);
  if (await findPrincipal(store, ADMIN_ID)) return { path, created: await nameLeftover(deps) };
  if (keyFileExists) throw identityStartError('ADMIN_KEY_FOREIGN', { path });

  const { key, pending } = await writePending(deps);
  const won = await store.transact(async (tx) => {
    const added = await addAdmin(tx, key.createdAtMs);
    if (added) await addKey(tx, key);
    return added;
  });
  if (!won) await rm(pending);
  return { path, created: won && (await giveName(dataDir, pending)) };
}

/**
 * Makes a new admin key, revokes the bootstrap keys before it and writes the file anew: what somebody with the
 * database and the data directory at hand does when the key is lost or has leaked. Resolves with the file's path.
 */
export async function recover(deps: BootstrapDeps): Promise<string> {
  for (const leftover of await pendingFiles(deps.dataDir)) await rm(leftover);
  const { key, pending } = await writePending(deps);
  const nowMs = key.createdAtMs;
  await deps.store.transactInTurn(async (tx) => {
    const admin = await findPrincipal(tx, ADMIN_ID);
    if (!admin) await addAdmin(tx, nowMs);
    else await savePrincipal(tx, restored(admin, [...admin.roles, ADMIN_ID], nowMs));
    await revokeKeys(tx, { principalId: ADMIN_ID, label: LABEL }, nowMs);
    await deps.note(tx, { kind: 'principal', id: ADMIN_ID });
    await addKey(tx, key);
  });
  await giveName(deps.dataDir, pending);
  return join(deps.dataDir, KEY_FILE);
}

/** Adds the administrator; false when it is there already. Of several transactions at once only one gets true. */
function addAdmin(tx: Tx, nowMs: number): Promise<boolean> {
  const about = {
    id: ADMIN_ID,
    username: ADMIN_ID,
    kind: 'USER',
    roles: [ADMIN_ID],
    tier: 'ENTERPRISE',
  } as const;
  return addPrincipal(tx, newPrincipal(about, nowMs));
}

/** Gives the file of a key that counts the name that a crash kept from it; true when there was one. */
async function nameLeftover(deps: BootstrapDeps): Promise<boolean> {
  for (const pending of await pendingFiles(deps.dataDir)) {
    const text = await ifThere(readFile(pending, 'utf8'));
    const key = parseApiKey(text?.trimEnd() ?? '');
    const stored = key && (await findKey(deps.store, key.prefix));
    if (!key || !stored || !secretMatches(key.secret, stored) || !isUsable(stored, deps.clock.nowMs()))
      continue;
    return giveName(deps.dataDir, pending);
  }
  return false;
}

async function pendingFiles(dataDir: string): Promise<string[]> {
  const names = await readdir(dataDir);
  return names.filter((name) => PENDING_FILE.test(name)).map((name) => join(dataDir, name));
}

/** Makes a key and puts it on disk, not yet under its name. Returns what the database is to know of it. */
async function writePending(deps: BootstrapDeps): Promise<{ key: StoredKey; pending: string }> {
  const { text, stored } = issueKey(
    {
      principalId: ADMIN_ID,
      label: LABEL,
      scopes: ['*.*'],
      sourceRanges: [],
      environment: 'live',
      expiresAtMs: undefined,
    },
    deps.secrets.bytes(KEY_BYTES),
    deps.clock.nowMs(),
  );
  const pending = join(deps.dataDir, `${KEY_FILE}.${stored.prefix}`);
  const file = await open(pending, 'wx', 0o600);
  try {
    await file.writeFile(`${text}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  return { key: stored, pending };
}

/** Names the key's file; the name is on disk when it resolves. False when a server beside this one was faster. */
async function giveName(dataDir: string, pending: string): Promise<boolean> {
  const path = join(dataDir, KEY_FILE);
  const named = await ifThere(rename(pending, path).then(() => true));
  if (!named && !(await exists(path))) throw new Error(`${pending} vanished before it became ${path}`);
  const directory = await open(dataDir, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
  return named === true;
}

async function exists(path: string): Promise<boolean> {
  return (await ifThere(stat(path))) !== undefined;
}

/** What a file operation resolves with; undefined when there is no such file. */
async function ifThere<Result>(operation: Promise<Result>): Promise<Result | undefined> {
  try {
    return await operation;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
