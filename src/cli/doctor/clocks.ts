/**
 * Checks of wall time: ours against the broker's, which stamps telemetry, against the database's, and against the files
 * that were written last. Offsets are judged by what is certain of them: less the time the question took.
 */
import { join } from 'node:path';
import { statsOf } from './data-directory.ts';
import { type Finding, ok, problem, warning } from './finding.ts';

/** Another clock, read between two readings of ours; milliseconds since 1970. */
export interface TimeReading {
  readonly askedMs: number;
  readonly theirsMs: number;
  readonly answeredMs: number;
}

const WARNING_MS = 2_000;
/** Samples more than 30 s ahead of the broker's stamp are rejected (FUTURE_TIMESTAMP). */
const PROBLEM_MS = 30_000;

const REMEDY = 'timedatectl set-ntp true   # on both machines; or start chronyd or ntpd';

/** `whose` clock ("the broker's") against ours. */
export function checkOffset(check: string, whose: string, reading: TimeReading): Finding {
  const { askedMs, theirsMs, answeredMs } = reading;
  const offsetMs = (askedMs + answeredMs) / 2 - theirsMs;
  const certainMs = Math.max(0, Math.abs(offsetMs) - Math.abs(answeredMs - askedMs) / 2);
  const seconds = `${(certainMs / 1000).toFixed(1)} s`;
  if (certainMs <= WARNING_MS)
    return ok(check, `The clock is within ${seconds === '0.0 s' ? '0.1 s' : seconds} of ${whose}.`);
  const found = `The clock is ${seconds} ${offsetMs > 0 ? 'ahead of' : 'behind'} ${whose}`;
  if (certainMs <= PROBLEM_MS) return warning(check, `${found}.`, REMEDY);
  return problem(check, `${found}: samples over 30 s ahead of the broker's time are rejected.`, REMEDY);
}

/** Written while the server works, so never after now. */
const WRITTEN = ['server.json', 'admin.key', 'homeostat.db', 'homeostat.db-wal', 'nats/broker.json'];

/** A clock that was set back shows in what was written before. Nothing when nothing was written yet. */
export function checkNotBack(dataDir: string, nowMs: number): Finding[] {
  const check = 'clock.files';
  const written = WRITTEN.map((name) => statsOf(join(dataDir, name))?.mtimeMs ?? 0);
  const newestMs = Math.max(...written);
  if (newestMs === 0) return [];
  const aheadMs = newestMs - nowMs;
  if (aheadMs <= WARNING_MS) return [ok(check, 'The clock is not behind what was written last.')];
  const found = `The clock is ${(aheadMs / 1000).toFixed(1)} s behind what was written last: it was set back.`;
  const remedy =
    'timedatectl set-ntp true   # and wait for the clock to be right before the server is started';
  return [aheadMs > PROBLEM_MS ? problem(check, found, remedy) : warning(check, found, remedy)];
}
