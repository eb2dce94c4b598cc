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
  /** Where to look before the cache directory; default the PATH and the places system packages use. */
  readonly places?: readonly string[];
}

/** One way to install: commands run in order, each in a directory. */
export interface Installer {
  readonly text: string;
  readonly steps: ReadonlyArray<readonly [command: string, args: readonly string[], directory?: string]>;
}

export interface EnsureNatsOptions extends FindNatsOptions {
  /** Told before each attempt to install. */
  readonly onInstall?: (how: string) => void;
  /** Ways to install, best first; default the platform's. */
  readonly installers?: readonly Installer[];
}

const PLACES = [
  'nats-server',
  '/usr/sbin/nats-server',
  '/usr/local/bin/nats-server',
  '/opt/homebrew/bin/nats-server',
];

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
  const candidates = [...(options.places ?? PLACES), join(unpackDir(options), 'usr', 'sbin', 'nats-server')];
  for (const command of candidates) {
    const version = await versionOf(command);
    if (version && isAtLeast(version, OLDEST_NATS)) return { command, version };
  }
  return undefined;
}

/** Finds nats-server, else installs it. Throws NATS_SERVER_MISSING saying what to install. */
export async function ensureNats(options: EnsureNatsOptions = {}): Promise<NatsBinary> {
  const found = await findNats(options);
  if (found) return found;
  const failures: string[] = [];
  for (const way of options.installers ?? (await platformInstallers(unpackDir(options)))) {
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

/** Ways to install here, best first; refreshing the package lists comes second, since it takes long. */
async function platformInstallers(directory: string): Promise<readonly Installer[]> {
  if (process.platform === 'darwin' && (await isRunnable('brew')))
    return [{ text: 'brew install nats-server', steps: [['brew', ['install', 'nats-server']]] }];
  if (process.platform !== 'linux' || !(await isRunnable('apt-get'))) return [];
  if (process.getuid?.() !== 0) {
    await mkdir(directory, { recursive: true });
    const unpack = 'dpkg-deb -x nats-server_*.deb . && rm nats-server_*.deb';
    return [
      {
        text: `apt-get download nats-server into ${directory}`,
        steps: [
          ['apt-get', ['download', 'nats-server'], directory],
          ['sh', ['-c', unpack], directory],
        ],
      },
    ];
  }
  const text = 'apt-get install nats-server';
  const install = ['apt-get', ['install', '-y', '--no-install-recommends', 'nats-server']] as const;
  return [
    { text, steps: [install] },
    { text: `apt-get update, ${text}`, steps: [['apt-get', ['update']], install] },
  ];
}

async function versionOf(command: string): Promise<Version | undefined> {
  try {
    return parseVersion((await run(command, ['--version'])).stdout);
  } catch {
    return undefined; // Not there, or not runnable: the next candidate may be.
  }
}

async function isRunnable(command: string): Promise<boolean> {
  try {
    await run(command, ['--version']);
    return true;
  } catch {
    return false; // The only question asked.
  }
}

function unpackDir(options: FindNatsOptions): string {
  return join(options.cacheDir ?? join(homedir(), '.cache', 'homeostat'), 'nats-server');
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0]!;
}
