/**
 * One command line: finds the command, reads its arguments, runs it, and turns whatever becomes of it into an exit
 * code. Commands are loaded when they are used, so help and mistakes answer at once.
 */
import { RpcError } from '../client/rpc-error.ts';
import { AppError, describeError } from '../errors.ts';
import { type Command, readArguments, renderHelp, type Terminal } from './command.ts';
import { CliFailure, type ExitCode } from './failure.ts';

interface Entry {
  readonly summary: string;
  readonly load: () => Promise<Command>;
}

const commands: Readonly<Record<string, Entry>> = {
  serve: {
    summary: 'start a server from the environment',
    load: async () => (await import('./serve.ts')).serve as Command,
  },
  demo: {
    summary: 'watch a simulated fleet go through a crisis',
    load: async () => (await import('./demo.ts')).demo as Command,
  },
  replay: {
    summary: 'feed a recording through a server in its own event time',
    load: async () => (await import('./replay.ts')).replay as Command,
  },
  token: {
    summary: 'print an access token, or recover the admin key',
    load: async () => (await import('./token.ts')).token as Command,
  },
  verify: {
    summary: 'check offline what a server has handed out',
    load: async () => (await import('./verify.ts')).verify as Command,
  },
  doctor: {
    summary: 'say what is wrong with an installation, and what to do',
    load: async () => (await import('./doctor.ts')).doctor as Command,
  },
};

function usage(): string {
  const rows = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(10)}${summary}`);
  return [
    'Homeostat: an energy-intelligence control plane for fleets.',
    '',
    'Usage: homeostat <command> [options]',
    '',
    ...rows,
    '',
    'homeostat <command> --help says more.',
    '',
  ].join('\n');
}

/** Runs one command line. Resolves with the exit code; writes at most one sentence when it fails. */
export async function runCommandLine(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const [name, ...rest] = args;
  if (name === '--help' || name === '-h' || name === 'help') {
    terminal.out.write(usage());
    return 0;
  }
  const entry = name === undefined ? undefined : commands[name];
  if (!entry) {
    const known = Object.keys(commands).join(', ');
    const wrong = name === undefined ? 'no command given' : `there is no command "${name}"`;
    terminal.err.write(`homeostat: ${wrong}; known are ${known} (see --help)\n`);
    return 2;
  }
  try {
    const command = await entry.load();
    const { given, positionals, help } = readArguments(command, rest);
    if (!help) return await command.run(given, positionals, terminal);
    terminal.out.write(renderHelp(command));
    return 0;
  } catch (error) {
    if (error instanceof CliFailure) {
      terminal.err.write(`homeostat: ${error.message}\n`);
      return error.exitCode;
    }
    if (error instanceof AppError || error instanceof RpcError) {
      terminal.err.write(`homeostat: ${error.message}\n`);
      return 1;
    }
    const stack = error instanceof Error ? error.stack : undefined;
    terminal.err.write(`homeostat: unexpected failure: ${stack ?? describeError(error)}\n`);
    return 1;
  }
}
