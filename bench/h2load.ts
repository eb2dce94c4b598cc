/**
 * Drives load with h2load (package nghttp2-client): a load generator that needs much less of a core than the servers
 * it measures, so that theirs is the limit.
 */
import { spawn, spawnSync } from 'node:child_process';

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
  const args = [
    ...(load.http1 ? ['--h1'] : []),
    `--clients=${load.connections}`,
    `--max-concurrent-streams=${load.inFlight}`,
    `--duration=${load.seconds}`,
    ...Object.entries(load.headers ?? {}).map(([name, value]) => `--header=${name}: ${value}`),
    ...(load.bodyFile ? [`--data=${load.bodyFile}`] : []),
    load.url,
  ];
  const output = await collect('h2load', args);
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
