/**
 * `npm run bench -- [P1 P2 ...] [--pairs N] [--seconds S]`: runs the named benches, or all, prints a table and writes
 * it to bench/RESULTS.md with commit, machine and date. Exits 1 when a bench lies under its bar, 2 on bad arguments.
 * Fewer than 9 pairs of 5 s are a trial: printed, but not written.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { fft } from './fft.ts';
import { type Bench, type BenchRow, type BenchSkipped, format, meetsBar } from './harness.ts';
import { health } from './health.ts';
import { benches as ingest } from './ingest.ts';
import { kernels } from './kernels.ts';
import { ledger } from './ledger.ts';
import { livez } from './livez.ts';
import { rpc } from './rpc.ts';

/** Every bench, in the order it runs. */
const benches: readonly Bench[] = [...ingest, rpc, health, livez, kernels, fft, ledger];

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
  const table = render(rows);
  console.log(table);
  if (pairs >= PAIRS && seconds >= SECONDS)
    writeFileSync('bench/RESULTS.md', `# Benchmarks\n\n${describeRun(pairs, seconds)}\n\n${table}`);
  return rows.some((row) => !('skipped' in row) && !meetsBar(row)) ? 1 : 0;
}

function describeRun(pairs: number, seconds: number): string {
  const git = (...args: string[]) => execFileSync('git', args, { encoding: 'utf8' }).trim();
  const dirty = git('status', '--porcelain', '--untracked-files=no') === '' ? '' : ' with changes';
  const memoryGib = (totalmem() / 2 ** 30).toFixed(0);
  return [
    `Commit ${git('rev-parse', '--short', 'HEAD')}${dirty}, ${new Date().toISOString().slice(0, 10)}.`,
    `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}, ${memoryGib} GiB, Node ${process.version}.`,
    `${pairs} pairs of ${seconds} s each side, in turn; the ratio is their median with its 95 % interval.`,
    'A row fails when the whole interval lies under its bar.',
  ].join('\n');
}

function render(rows: readonly (BenchRow | BenchSkipped)[]): string {
  const lines = ['| # | what | ratio | 95 % interval | bar | result | product | baseline | notes |'];
  lines.push('|---|---|---|---|---|---|---|---|---|');
  for (const row of rows) {
    if ('skipped' in row) {
      lines.push(`| ${row.id} | ${row.title} | | | | skipped | | | ${row.skipped} |`);
      continue;
    }
    const checks = row.checks.map(
      ({ name, value, atMost }) => `${name} ${format(value)} (at most ${atMost})`,
    );
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
    lines.push(`| ${cells.join(' | ')} |`);
  }
  return `${lines.join('\n')}\n`;
}

process.exitCode = await main();
