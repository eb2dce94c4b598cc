/** `homeostat doctor` in a process of its own, in the environment it was given. */
import { readArguments } from '../../src/cli/command.ts';
import { doctor } from '../../src/cli/doctor.ts';
import { systemClock } from '../../src/clock.ts';

const { given, positionals } = readArguments(doctor, process.argv.slice(2));
process.exitCode = await doctor.run(given, positionals, {
  clock: systemClock,
  out: process.stdout,
  err: process.stderr,
  signal: new AbortController().signal,
});
