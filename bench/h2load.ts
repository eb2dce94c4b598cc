/**
 * Drives load with h2load (package nghttp2-client): a load generator that needs much less of a core than the servers
 * it measures, so that theirs is the limit.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What to install where h2load is missing; undefined where it is there. */
export function h2loadMissing(): string | undefined {
  const { error } = spawnSync('h2load', ['--version'], { stdio: 'ignore' });
  return error ? 'h2load is not installed (package nghttp2-client)' : undefined;
}

export interface Load {
  readonly url: string;
  readonly seconds: number;
  readonly connections: number;
  /** Requests under way per connection. */
  readonly inFlight: number;
  readonly http1?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
  /** File whose content is each request's body. */
  readonly bodyFile?: string;
}

/** Runs the load and gives requests per second. Rejects when any request failed or was answered with other than 2xx. */
export async function runH2load(load: Load): Promise<number> {
  return rateIn(await drive(load));
}

export interface TimedLoad {
  readonly ratePerSecond: number;
  /** Milliseconds from a request to the end of its reply, ascending; the first tenth of the time does not count. */
  readonly latencies: Float64Array;
  /** Mean size of a reply. */
  readonly replyBytes: number;
}

/** The same, with how long each request took. */
export async function timeH2load(load: Load): Promise<TimedLoad> {
  const folder = mkdtempSync(join(tmpdir(), 'homeostat-h2load-'));
  try {
    const log = join(folder, 'requests');
    const output = await drive(load, [`--log-file=${log}`]);
    // Start in microseconds since 1970, status, microseconds taken.
    const rows = readFileSync(log, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => line.split('\t').map(Number) as [number, number, number]);
    const countFrom = rows.reduce((first, [start]) => Math.min(first, start), Infinity) + load.seconds * 1e5;
    const counted = rows.filter(([start]) => start >= countFrom);
    const replies = Number(/traffic:.*\((\d+)\) data/.exec(output)![1]);
    return {
      ratePerSecond: rateIn(output),
      latencies: Float64Array.from(counted, ([, , took]) => took / 1000).sort(),
      replyBytes: replies / rows.length,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function drive(load: Load, options: readonly string[] = []): Promise<string> {
  return collect('h2load', [
    ...options,
    ...(load.http1 ? ['--h1'] : []),
    `--clients=${load.connections}`,
    `--max-concurrent-streams=${load.inFlight}`,
    `--duration=${load.seconds}`,
    ...Object.entries(load.headers ?? {}).map(([name, value]) => `--header=${name}: ${value}`),
    ...(load.bodyFile ? [`--data=${load.bodyFile}`] : []),
    load.url,
  ]);
}

function rateIn(output: string): number {
  const rate = /finished in [\d.]+\w+, ([\d.]+) req\/s/.exec(output);
  const counts = /(\d+) succeeded, (\d+) failed, (\d+) errored/.exec(output);
  const good = /status codes: (\d+) 2xx/.exec(output);
  if (!rate || !counts || !good) throw new Error(`h2load said something else:\n${output}`);
  if (Number(counts[2]) > 0 || Number(good[1]) < Number(counts[1]))
    throw new Error(`requests failed:\n${output}`);
  return Number(rate[1]);
}

function collect(command: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    child.once('error', reject);
    child.once('exit', (code) => {
      if (code === 0) resolve(output);
      else reject(new Error(`${command} exited with ${code}:\n${output}`));
    });
  });
}
