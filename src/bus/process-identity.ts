/**
 * Which program a process id belongs to now. Ids are reused, so nothing is ever signalled by number alone: the
 * command line must be that of the nats-server which reads our own configuration file.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';

/** Arguments of a live process, the program first; undefined when there is none (a zombie counts as gone). */
function commandLine(pid: number): readonly string[] | undefined {
  try {
    const args =
      process.platform === 'linux'
        ? readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').filter(Boolean)
        : execFileSync('ps', ['-o', 'args=', '-p', String(pid)], { encoding: 'utf8' })
            .trim()
            .split(/\s+/);
    return args[0] ? args : undefined;
  } catch {
    return undefined; // No such process.
  }
}

/** Whether the process is a nats-server started with exactly this configuration file. */
export function isBrokerOf(pid: number, configFile: string): boolean {
  const args = commandLine(pid);
  return args !== undefined && basename(args[0]!) === 'nats-server' && args.includes(configFile);
}
