/** Runs one of the scripts of this folder in a process of its own, for tests that kill it or take its disk away. */
import { type ChildProcessByStdio, type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { inNamespace } from '../support/namespace.ts';

const loader = fileURLToPath(new URL('../support/typescript-loader.mjs', import.meta.url));

function command(script: string, args: readonly string[]): string[] {
  const path = fileURLToPath(new URL(script, import.meta.url));
  return ['--no-warnings', '--import', loader, path, ...args];
}

/** Starts a script of this folder. What it writes to standard error shows in the test's output. */
export function startScript(script: string, ...args: string[]): ChildProcessByStdio<null, Readable, null> {
  return spawn(process.execPath, command(script, args), {
    env: { PATH: process.env['PATH'] },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

/** Runs a script to its end and returns the JSON it prints. */
export function runScript(script: string, ...args: string[]): unknown {
  return parsed(spawnSync(process.execPath, command(script, args), { encoding: 'utf8' }));
}

function parsed({ status, stdout, stderr }: SpawnSyncReturns<string>): unknown {
  if (status !== 0) throw new Error(`the script failed: ${stderr}`);
  return JSON.parse(stdout);
}

/**
 * Runs a script on a file system of its own: a tmpfs with these options, mounted on `folder` in a mount namespace that
 * ends with the process. Returns the JSON it prints.
 */
export function runOnTmpfs(folder: string, options: string, script: string, ...args: string[]): unknown {
  const quoted = [process.execPath, ...command(script, args)].map((word) => `'${word}'`).join(' ');
  return parsed(inNamespace(`mount -t tmpfs -o ${options} tmpfs '${folder}' && exec ${quoted}`));
}
