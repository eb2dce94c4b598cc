/**
 * The set-up step for the broker: finds a real nats-server, or installs the platform's own package of it. Nothing is
 * built or downloaded from anywhere but the package manager's sources, and there is no home-made substitute.
 */
import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describeError } from '../errors.ts';
import { startError } from './errors.ts';

const run = promisify(execFile);

/** Oldest broker that carries every feature relied on (pull requests bounded in bytes, named consumers). */
export const OLDEST_NATS: Version = [2, 9, 0];

export type Version = readonly [major: number, minor: number, patch: number];

export interface NatsBinary {
  /** A path, or a bare name found on the PATH. */
  readonly command: string;
  readonly version: Version;
}

export interface FindNatsOptions {
  /** Where a package is unpacked without root; default `~/.cache/homeostat`. */
  readonly cacheDir?: string;
}

/** Reads `v2.9.10`, `2.10.0-beta.1` and the like; undefined when it is no version. */
export function parseVersion(text: string): Version | undefined {
  const match = /(\d+)\.(\d+)\.(\d+)/.exec(text);
  return match ? [Number(match[1]), Number(match[2]), Number(match[3])] : undefined;
}

export function isAtLeast(version: Version, wanted: Version): boolean {
  for (let i = 0; i < 3; i++) if (version[i] !== wanted[i]) return version[i]! > wanted[i]!;
  return true;
}

export function formatVersion(version: Version): string {
  return version.join('.');
}

/** The first usable nats-server: the PATH, the places system packages use, the cache directory. */
export async function findNats(options: FindNatsOptions = {}): Promise<NatsBinary | undefined> {
  const candidates = [
    'nats-server',
    '/usr/sbin/nats-server',
    '/usr/local/bin/nats-server',
    '/opt/homebrew/bin/nats-server',
    join(cacheOf(options), 'nats-server', 'usr', 'sbin', 'nats-server'),
  ];
  for (const command of candidates) {
    const version = await versionOf(command);
    if (version && isAtLeast(version, OLDEST_NATS)) return { command, version };
  }
  return undefined;
}

/** Finds nats-server, else installs it. Throws NATS_SERVER_MISSING saying what to install. */
export async function ensureNats(
  options: FindNatsOptions & { readonly onInstall?: (how: string) => void } = {},
): Promise<NatsBinary> {
  const found = await findNats(options);
  if (found) return found;
  const failures: string[] = [];
  for (const way of await installersHere(cacheOf(options))) {
    options.onInstall?.(way.text);
    try {
      for (const [command, args, cwd] of way.steps) await run(command, [...args], cwd ? { cwd } : {});
    } catch (cause) {
      failures.push(`${way.text} failed (${firstLine(describeError(cause))})`);
      continue;
    }
    const installed = await findNats(options);
    if (installed) return installed;
    failures.push(`${way.text} brought no nats-server of version ${formatVersion(OLDEST_NATS)} or newer`);
  }
  const tried = failures.length > 0 ? ` (${failures.join('; ')})` : '';
  throw startError('NATS_SERVER_MISSING', {
    remedy: `install nats-server ${formatVersion(OLDEST_NATS)} or newer with your package manager, or name a server${tried}.`,
  });
}

interface Installer {
  readonly text: string;
  readonly steps: ReadonlyArray<readonly [command: string, args: readonly string[], cwd?: string]>;
}

/** Ways to install here, best first. The second of a pair refreshes the package lists. */
async function installersHere(cacheDir: string): Promise<readonly Installer[]> {
  if (process.platform === 'darwin' && (await exists('brew')))
    return [{ text: 'brew install nats-server', steps: [['brew', ['install', 'nats-server']]] }];
  if (process.platform !== 'linux' || !(await exists('apt-get'))) return [];
  const root = process.getuid?.() === 0;
  const install: Installer['steps'] = root
    ? [['apt-get', ['install', '-y', '--no-install-recommends', 'nats-server']]]
    : await unpackSteps(cacheDir);
  const text = root ? 'apt-get install nats-server' : `apt-get download nats-server into ${cacheDir}`;
  const ways: Installer[] = [{ text, steps: install }];
  if (root) ways.push({ text: `apt-get update, ${text}`, steps: [['apt-get', ['update']], ...install] });
  return ways;
}

/** Without root: fetch the package and unpack it below the cache directory. */
async function unpackSteps(cacheDir: string): Promise<Installer['steps']> {
  const target = join(cacheDir, 'nats-server');
  await mkdir(target, { recursive: true });
  return [
    ['apt-get', ['download', 'nats-server'], target],
    ['sh', ['-c', 'dpkg-deb -x nats-server_*.deb . && rm nats-server_*.deb'], target],
  ];
}

async function versionOf(command: string): Promise<Version | undefined> {
  try {
    return parseVersion((await run(command, ['--version'])).stdout);
  } catch {
    return undefined; // Not there, or not runnable: the next candidate may be.
  }
}

async function exists(command: string): Promise<boolean> {
  try {
    await run(command, ['--version']);
    return true;
  } catch {
    return false; // The only question asked.
  }
}

function cacheOf(options: FindNatsOptions): string {
  return options.cacheDir ?? join(homedir(), '.cache', 'homeostat');
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0]!;
}
