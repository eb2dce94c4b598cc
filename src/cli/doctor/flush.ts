/**
 * Times the disk: every recorded command waits for one flush. It writes and removes a file of 4 KiB in the data
 * directory, so it is only done when asked for.
 */
import { closeSync, fsyncSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../../clock.ts';
import { describeError } from '../../errors.ts';
import { nearestExisting } from './data-directory.ts';
import { type Finding, ok, problem, warning } from './finding.ts';

const FLUSHES = 20;
const BYTES = 4_096;
/** A flush this slow bounds recorded commands to 20 groups a second. */
const SLOW_MS = 50;

/** Times writes with a flush where the data directory is, or will be. */
export function measureFlush(dataDir: string, clock: Clock): Finding[] {
  const check = 'data.flush';
  const folder = nearestExisting(dataDir);
  try {
    const timesMs = timeFlushes(join(folder, `probe-${process.pid}`), clock).sort((a, b) => a - b);
    const median = timesMs[FLUSHES / 2]!;
    const found = `A write of 4 KiB is on disk in ${median.toFixed(1)} ms (median of ${FLUSHES}, slowest ${timesMs.at(-1)!.toFixed(1)} ms)`;
    if (median <= SLOW_MS) return [ok(check, `${found}.`)];
    return [
      warning(
        check,
        `${found}: every recorded command waits for one.`,
        'Set HOMEOSTAT_DATA_DIR to a faster disk.',
      ),
    ];
  } catch (error) {
    const remedy = 'Give this user a folder it may write in HOMEOSTAT_DATA_DIR, with room left.';
    return [problem(check, `Nothing can be written to ${folder}: ${describeError(error)}.`, remedy)];
  }
}

function timeFlushes(file: string, clock: Clock): number[] {
  const descriptor = openSync(file, 'wx', 0o600);
  try {
    const bytes = new Uint8Array(BYTES);
    return Array.from({ length: FLUSHES }, () => {
      const startMs = clock.monotonicMs();
      writeSync(descriptor, bytes, 0, BYTES, 0);
      fsyncSync(descriptor);
      return clock.monotonicMs() - startMs;
    });
  } finally {
    closeSync(descriptor);
    rmSync(file, { force: true });
  }
}
