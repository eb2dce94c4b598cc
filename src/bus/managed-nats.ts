/**
 * The managed broker: a real nats-server child process on loopback, with JetStream in the data directory. It keeps
 * its port and its secrets for the life of the data directory, is restarted with back-off when it dies, and outlives a
 * crash of this process, to be adopted by the next one.
 *
 * Files below the data directory: `producer.url` (what producers get), `nats/server.url`, `nats/nats-server.conf`,
 * `nats/broker.json` (pid, port, digest of the configuration), `nats/nats-server.log`, `nats/jetstream/`.
 */
import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import type { Logger } from '../observability.ts';
import { type Secrets, systemSecrets } from '../secrets.ts';
import { brokerConfig } from './broker-config.ts';
import {
  type BrokerFiles,
  type BrokerState,
  prepareBrokerFiles,
  readBrokerState,
  readSecret,
  writePrivate,
} from './broker-files.ts';
import { BrokerSupervisor, stopBroker } from './broker-supervisor.ts';
import { startError } from './errors.ts';
import { ensureNats, type FindNatsOptions, type NatsBinary, type Version } from './find-nats.ts';
import { freePort, portIsFree, serverNameAt } from './port.ts';
import { isBrokerOf } from './process-identity.ts';

const SECRET_BYTES = 24;

export interface ManagedNatsOptions extends FindNatsOptions {
  readonly dataDir: string;
  /** Port on loopback; by default a free one, chosen once and kept in the data directory. */
  readonly port?: number;
  /** Bytes JetStream may use on disk. */
  readonly fileBytesMax: number;
  /** Where the two secrets come from; default the system's generator. */
  readonly secrets?: Secrets;
  readonly logger: Logger;
}

export interface ManagedNats {
  /** With the server's secret: everything is allowed. */
  readonly serverUrl: string;
  /** With the producers' secret: telemetry and signals only. */
  readonly producerUrl: string;
  readonly port: number;
  readonly version: Version;
  /** Whether a running broker was taken over instead of started. */
  readonly adopted: boolean;
  /** Process id of the broker; 0 while it is being started again. */
  pid(): number;
  restarts(): number;
  /** Ends the running process at once; it is started again. For one that no longer works. */
  kill(): void;
  /** Stops the broker and resolves once it is gone. */
  stop(): Promise<void>;
}

/** Starts or adopts the broker of a data directory. Throws the reasons of `startError`. */
export async function startManagedNats(options: ManagedNatsOptions): Promise<ManagedNats> {
  const { logger } = options;
  const onInstall = (how: string) => logger.info({ how }, 'nats-server not found, installing it');
  const binary = await ensureNats({ ...options, onInstall });
  const files = prepareBrokerFiles(resolve(options.dataDir));
  const left = readBrokerState(files);
  const configFor = configurator(options, files, binary, left);

  const running = left && isBrokerOf(left.pid, files.config) ? left : undefined;
  const adopted = running !== undefined && (await isSame(running, options.port, configFor(running.port)));
  if (running && !adopted) {
    logger.warn({ pid: running.pid }, 'stopping a broker of this data directory that has other settings');
    await stopBroker(running.pid, files);
  }
  const port = adopted ? running.port : await choosePort(options.port, left?.port, logger);
  const { text, identity, serverUrl, producerUrl } = configFor(port);
  writePrivate(files.config, text);
  writePrivate(files.serverUrl, `${serverUrl}\n`);
  writePrivate(files.producerUrl, `${producerUrl}\n`);
  const supervisor = new BrokerSupervisor(binary.command, files, identity, logger);
  if (adopted) supervisor.adopt(running.pid);
  else await supervisor.start();
  return {
    serverUrl,
    producerUrl,
    port,
    version: binary.version,
    adopted,
    pid: () => supervisor.pid,
    restarts: () => supervisor.restarts,
    kill: () => supervisor.kill(),
    stop: () => supervisor.stop(),
  };
}

interface Configured {
  readonly text: string;
  readonly identity: Omit<BrokerState, 'pid'>;
  readonly serverUrl: string;
  readonly producerUrl: string;
}

/** The configuration for a port; name and secrets are those of the data directory, made on its first start. */
function configurator(
  options: ManagedNatsOptions,
  files: BrokerFiles,
  { version }: NatsBinary,
  left: BrokerState | undefined,
): (port: number) => Configured {
  const { bytes } = options.secrets ?? systemSecrets;
  const random = (count: number) => Buffer.from(bytes(count)).toString('hex');
  const serverSecret = readSecret(files.serverUrl) ?? random(SECRET_BYTES);
  const producerSecret = readSecret(files.producerUrl) ?? random(SECRET_BYTES);
  const name = left?.name ?? `homeostat-${random(8)}`;
  const { storeDir, log: logFile } = files;
  const { fileBytesMax } = options;
  return (port) => {
    const text = brokerConfig({
      name,
      port,
      version,
      storeDir,
      logFile,
      serverSecret,
      producerSecret,
      fileBytesMax,
    });
    const digest = createHash('sha256')
      .update(`${version.join('.')}\n${text}`)
      .digest('hex');
    return {
      text,
      identity: { port, name, digest },
      serverUrl: `nats://server:${serverSecret}@127.0.0.1:${port}`,
      producerUrl: `nats://producer:${producerSecret}@127.0.0.1:${port}`,
    };
  };
}

/** Whether a running broker is the one that would be started now, and answers. */
async function isSame(running: BrokerState, port: number | undefined, wanted: Configured): Promise<boolean> {
  if (port !== undefined && port !== running.port) return false;
  if (running.digest !== wanted.identity.digest) return false;
  return (await serverNameAt(running.port)) === wanted.identity.name;
}

async function choosePort(
  fixed: number | undefined,
  kept: number | undefined,
  logger: Logger,
): Promise<number> {
  if (fixed !== undefined) {
    if (!(await portIsFree(fixed))) throw startError('BROKER_PORT_TAKEN', { port: fixed });
    return fixed;
  }
  if (kept !== undefined && (await portIsFree(kept))) return kept;
  const port = await freePort();
  if (kept !== undefined) logger.warn({ kept, port }, 'the port of the broker is taken, using a new one');
  return port;
}
