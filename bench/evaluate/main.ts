/**
 * `npm run evaluate -- [SET...] --data DIR [--json FILE]`: measures the product on named sets of data nobody here made
 * and compares it with published and simple detectors. The product's defaults hold for all sets, whatever the
 * environment says; nothing is read outside DIR.
 */
import { systemClock } from '../../src/clock.ts';
import { PREFIX } from '../../src/config.ts';
import { evaluate } from './evaluation.ts';
import { evaluationSets } from './sets.ts';

for (const name of Object.keys(process.env)) if (name.startsWith(PREFIX)) delete process.env[name];

// The first SIGINT or SIGTERM ends the run in order, so that what it started is stopped; a second one ends it at once.
const ending = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => ending.abort());

process.exitCode = await evaluate(process.argv.slice(2), evaluationSets, {
  clock: systemClock,
  out: process.stdout,
  err: process.stderr,
  signal: ending.signal,
});
