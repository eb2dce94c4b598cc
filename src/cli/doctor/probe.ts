/** `homeostat doctor --probe`: the health check of the image. Quiet when all is well, one sentence when it is not. */
import { type Config, ConfigError, readConfig } from '../../config.ts';
import { readServerRecord } from '../../data-dir.ts';
import { describeError } from '../../errors.ts';
import type { Terminal } from '../command.ts';
import type { ExitCode } from '../failure.ts';
import { LATE, withDeadline } from './deadline.ts';
import { httpGet } from './http-get.ts';

/** With the start of the process, under a second. */
const PROBE_MS = 700;

/** 0 when the server of this configuration answers /readyz with 200, else 1. */
export async function probe(
  environment: Readonly<Record<string, string | undefined>>,
  terminal: Terminal,
): Promise<ExitCode> {
  const fault = await findFault(environment, terminal);
  if (fault === undefined) return 0;
  terminal.err.write(`homeostat: ${fault}\n`);
  return 1;
}

async function findFault(
  environment: Readonly<Record<string, string | undefined>>,
  { clock }: Terminal,
): Promise<string | undefined> {
  let address = '';
  try {
    const config = readConfig(environment);
    address = addressOf(config);
    if (address === '') return 'no server runs on this data directory';
    const answer = await withDeadline(clock, PROBE_MS, (signal) =>
      httpGet(config, address, '/readyz', signal),
    );
    if (answer === LATE) return `${address} did not answer within ${PROBE_MS} ms`;
    return answer.status === 200 ? undefined : `${address} does not serve: ${answer.body.trim()}`;
  } catch (error) {
    if (error instanceof ConfigError) return `the configuration cannot be used: ${error.faults.join('; ')}`;
    return `${address} does not answer: ${describeError(error)}`;
  }
}

/** Where HTTP listens: as configured, and where that leaves the port open, as the server says. */
function addressOf(config: Config): string {
  if (!config.HTTP_ADDRESS.endsWith(':0')) return config.HTTP_ADDRESS;
  return readServerRecord(config.DATA_DIR)?.httpAddress ?? '';
}
