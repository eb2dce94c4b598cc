#!/usr/bin/env node
/** The `homeostat` program: one command line, run with this process's terminal, clock and signals. */
import { systemClock } from '../clock.ts';
import { runCommandLine } from './command-line.ts';

// The first SIGINT or SIGTERM ends the command in order; a second one ends the process at once.
const ending = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => ending.abort());

const code = await runCommandLine(process.argv.slice(2), {
  clock: systemClock,
  out: process.stdout,
  err: process.stderr,
  signal: ending.signal,
});
process.stdout.write('', () => process.exit(code));
