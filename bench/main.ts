/**
 * `npm run bench -- [P1 P2 ...] [--pairs N] [--seconds S]`: runs the named benches, or all, prints a table and writes
 * it to bench/RESULTS.md, each row with its commit and date; rows of benches that were not run stay as they were. Exits 1
 * when a bench lies under its bar, 2 on bad arguments. Fewer than 9 pairs of 5 s are a trial: printed, but not written.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { diffusion } from './diffusion.ts';
import { fft } from './fft.ts';
import { type Bench, type BenchRow, type BenchSkipped, format, meetsBar } from './harness.ts';
import { health } from './health.ts';
import { benches as ingest } from './ingest.ts';
import { kernels } from './kernels.ts';
import { ledger } from './ledger.ts';
import { livez } from './livez.ts';
import { predict } from './predict.ts';
import { rpc } from './rpc.ts';

/** Every bench, in the order it runs. */
const benches: readonly Bench[] = [...ingest, rpc, health, livez, kernels, fft, diffusion, predict, ledger];

const RESULTS = 'bench/RESULTS.md';
const PAIRS = 9;
const SECONDS = 5;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { pairs: { type: 'string' }, seconds: { type: 'string' } },
  });
  const unknown = positionals.filter((id) => !benches.some((bench) => bench.id === id));
  const pairs = Number(values.pairs ?? PAIRS);
  const seconds = Number(values.seconds ?? SECONDS);
  if (unknown.length > 0 || !(pairs >= 1) || !(seconds > 0)) {
    console.error(
      `usage: npm run bench -- [${benches.map(({ id }) => id).join(' ')}] [--pairs N] [--seconds S]`,
    );
    return 2;
  }
  const chosen = benches.filter((bench) => positionals.length === 0 || positionals.includes(bench.id));
  const rows: (BenchRow | BenchSkipped)[] = [];
  for (const bench of chosen) {
    console.error(`${bench.id}: ${bench.title}`);
    const outcome = await bench.run({ pairs, seconds });
    rows.push(...('id' in outcome ? [outcome] : outcome));
  }
  const run = describeRun();
  const lines = rows.map((row) => ({ id: row.id, line: `${render(row)} ${run} |` }));
  console.log(table(lines));
  if (pairs >= PAIRS && seconds >= SECONDS) {
    const kept = heldRows().filter(({ id }) => !chosen.some((bench) => bench.id === id));
    writeFileSync(RESULTS, `# Benchmarks\n\n${describeTable()}\n\n${table([...kept, ...lines])}`);
  }
  return rows.some((row) => !('skipped' in row) && !meetsBar(row)) ? 1 : 0;
}

/** A row of the table, `| P1 | ... |`. */
interface Line {
  readonly id: string;
  readonly line: string;
}

/** What was written by runs before. */
function heldRows(): Line[] {
  if (!existsSync(RESULTS)) return [];
  return [...readFileSync(RESULTS, 'utf8').matchAll(/^\| (P\d+) \|.*$/gm)].map(([line, id]) => ({
    id: id!,
    line,
  }));
}

function table(lines: readonly Line[]): string {
  const inOrder = benches.flatMap(({ id }) => lines.filter((line) => line.id === id));
  return [
    '| # | what | ratio | 95 % interval | bar | result | product | baseline | notes | commit |',
    '|---|---|---|---|---|---|---|---|---|---|',
    ...inOrder.map(({ line }) => line),
    '',
  ].join('\n');
}

function describeTable(): string {
  const memoryGib = (totalmem() / 2 ** 30).toFixed(0);
  return [
    `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}, ${memoryGib} GiB, Node ${process.version}.`,
    `At least ${PAIRS} pairs of ${SECONDS} s each side, in turn; the ratio is their median with its 95 % interval.`,
    'A row fails when the whole interval lies under its bar, or a figure of its notes is over what it may be.',
  ].join('\n');
}

/** Which code was measured, and when. */
function describeRun(): string {
  const git = (...args: string[]) => execFileSync('git', args, { encoding: 'utf8' }).trim();
  const dirty = git('status', '--porcelain', '--untracked-files=no') === '' ? '' : ' with changes';
  return `${git('rev-parse', '--short', 'HEAD')}${dirty}, ${new Date().toISOString().slice(0, 10)}`;
}

/** All but the last column of a row. */
function render(row: BenchRow | BenchSkipped): string {
  if ('skipped' in row) return `| ${row.id} | ${row.title} | | | | skipped | | | ${row.skipped} |`;
  const checks = row.checks.map(({ name, value, atMost }) => `${name} ${format(value)} (at most ${atMost})`);
  const cells = [
    row.id,
    row.title,
    format(row.ratio),
    `${format(row.low)}..${format(row.high)}`,
    String(row.bar),
    meetsBar(row) ? 'met' : 'MISSED',
    `${format(row.rateA)} ${row.unit}`,
    `${format(row.rateB)} ${row.unit}`,
    [...checks, ...row.notes].join('; '),
  ];
  return `| ${cells.join(' | ')} |`;
}

process.exitCode = await main();
