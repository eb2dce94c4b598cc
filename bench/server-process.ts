/**
 * Both sides of a comparison run as processes of their own, so that the load generator's work is not theirs. A server
 * program prints its address as its first line and serves until it is asked to end.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export interface ServerProcess {
  /** `host:port`. */
  readonly address: string;
  stop(): Promise<void>;
}

/** Starts `bench/<program>.ts` (as compiled) with arguments. Rejects when it ends before it says its address. */
export async function startServerProcess(program: string, ...args: string[]): Promise<ServerProcess> {
  const path = new URL(`./${program}.js`, import.meta.url).pathname;
  const child = spawn(process.execPath, [path, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const address = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).once('line', resolve);
    child.once('error', reject);
    void ended.then(() => reject(new Error(`${program} ${args.join(' ')} ended before it listened`)));
  });
  return {
    address,
    async stop() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}
