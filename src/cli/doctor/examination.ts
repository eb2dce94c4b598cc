/**
 * The whole examination: every check, those that wait for somebody at the same time, in the order they are told. Without
 * a flag nothing is written anywhere; each check has a deadline, so the whole takes some seconds at most.
 */
import type { FindNatsOptions } from '../../bus/find-nats.ts';
import type { Clock } from '../../clock.ts';
import { checkBroker } from './broker.ts';
import { checkNotBack, checkOffset } from './clocks.ts';
import { checkConfiguration } from './configuration.ts';
import { checkDataDirectory, checkDisk } from './data-directory.ts';
import { checkDatabase } from './database.ts';
import { type Finding, worst } from './finding.ts';
import { measureFlush } from './flush.ts';
import { checkMachine, checkOpenFiles } from './machine.ts';
import { checkServer } from './server.ts';
import { lookAtServer } from './server-state.ts';

export interface ExaminationOptions {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  /** Whether to search the whole database however long it takes, and to write a small file to time the disk. */
  readonly thorough: boolean;
  /** Where to look for nats-server; default as the server does. */
  readonly nats?: FindNatsOptions;
}

/** Examines what an environment describes. Where configuration or Node cannot be used, only that and the machine. */
export async function examine(options: ExaminationOptions): Promise<readonly Finding[]> {
  const { environment, clock, thorough, nats } = options;
  const configuration = checkConfiguration(environment);
  const machine = await checkMachine();
  const { config } = configuration;
  if (!config || worst(machine.filter(({ check }) => check === 'machine.node')) === 'PROBLEM')
    return [...configuration.findings, ...machine];
  const server = lookAtServer(config.DATA_DIR);
  // Every part of the server, for the list of its migrations; loaded first, since loading holds up who waits.
  const { migrations } = await import('../../server.ts');
  const [openFiles, broker, database, serving] = await Promise.all([
    checkOpenFiles(config, server.running?.pid),
    checkBroker({ config, clock, server, ...(nats && { nats }) }),
    checkDatabase({ config, clock, server, migrations, thorough }),
    checkServer(config, clock, server),
  ]);
  return [
    ...configuration.findings,
    ...machine,
    ...openFiles,
    ...checkDataDirectory(config, server),
    ...checkDisk(config, broker.telemetryBytes),
    ...(thorough ? measureFlush(config.DATA_DIR, clock) : []),
    ...broker.findings,
    ...database.findings,
    ...checkNotBack(config.DATA_DIR, clock.nowMs()),
    ...(broker.time ? [checkOffset('clock.broker', "the broker's", broker.time)] : []),
    ...(database.time ? [checkOffset('clock.database', "the database's", database.time)] : []),
    ...serving,
  ];
}
