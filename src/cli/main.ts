#!/usr/bin/env node
/** The `homeostat` program: one command line, run with this process's terminal, clock and signals. */
import { systemClock } from '../clock.ts';
import { runCommandLine } from './command-line.ts';

// The first SIGINT or SIGTERM ends the command in order; a second one ends the process at once.
const ending = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => ending.abort());
// Nobody reads any more (`| head`): nothing is left to say, but what was started is stopped in order.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    ending.abort();
  });

const code = await runCommandLine(process.argv.slice(2), {
  clock: systemClock,
  out: process.stdout,
  err: process.stderr,
  signal: ending.signal,
});
// What was written is on its way; an unread pipe fails at once and must not keep the process.
process.stdout.write('', () => process.exit(code));
