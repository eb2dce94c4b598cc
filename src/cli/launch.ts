/**
 * The commands' only way to the server: starts one in this process, from the environment or isolated in a directory of
 * its own, and turns a failed start into one sentence and exit code 2. The server is loaded only when one is started.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureNats } from '../bus/find-nats.ts';
import { type Config, ConfigError, PREFIX, processEnvironment, readConfig } from '../config.ts';
import { AppError, describeError } from '../errors.ts';
import { UNLOADED } from '../rpc/load-signals.ts';
import type { Overrides, RunningServer } from '../server.ts';
import { CliFailure, unusable } from './failure.ts';

/** Starts a server as the environment says. Throws a CliFailure (2) of one sentence, or one line per fault. */
export async function launchFromEnvironment(): Promise<RunningServer> {
  return launch(configOf(processEnvironment()));
}

export interface IsolatedServer {
  readonly server: RunningServer;
  readonly dataDir: string;
  /** Stops the server and, unless it is to be kept, removes its directory. Harmless when repeated. */
  dispose(): Promise<void>;
}

/**
 * Starts a server that shares nothing with any other: a fresh data directory, free ports, its own broker and database.
 * The rest of the environment holds.
 */
export async function launchIsolated(keep: boolean): Promise<IsolatedServer> {
  const dataDir = await mkdtemp(join(tmpdir(), 'homeostat-'));
  let disposed: Promise<void> | undefined;
  try {
    const environment = {
      [`${PREFIX}LOG_LEVEL`]: 'error',
      ...processEnvironment(),
      [`${PREFIX}DATA_DIR`]: dataDir,
      [`${PREFIX}GRPC_ADDRESS`]: '127.0.0.1:0',
      [`${PREFIX}HTTP_ADDRESS`]: '127.0.0.1:0',
      [`${PREFIX}DATABASE_URL`]: undefined,
      [`${PREFIX}SECRET_FILE`]: undefined,
      [`${PREFIX}TLS_CERT_FILE`]: undefined,
      [`${PREFIX}TLS_KEY_FILE`]: undefined,
      [`${PREFIX}TLS_CLIENT_CA_FILE`]: undefined,
      [`${PREFIX}MTLS`]: undefined,
      [`${PREFIX}NATS_URL`]: undefined,
      [`${PREFIX}NATS_CREDS_FILE`]: undefined,
      [`${PREFIX}NATS_CA_FILE`]: undefined,
    };
    // Whoever feeds it shares its process: that is no reason to refuse anybody.
    const server = await launch(configOf(environment), { load: UNLOADED });
    const dispose = async () => {
      await server.stop();
      if (!keep) await rm(dataDir, { recursive: true, force: true });
    };
    return {
      server,
      dataDir,
      dispose() {
        disposed ??= dispose();
        return disposed;
      },
    };
  } catch (error) {
    await rm(dataDir, { recursive: true, force: true });
    throw error;
  }
}

/** Makes a new admin key with access to the database alone; resolves with the path of its file. */
export async function recoverKey(): Promise<string> {
  const config = configOf(processEnvironment());
  try {
    const { recoverAdminKey } = await import('../server.ts');
    return await recoverAdminKey(config);
  } catch (error) {
    throw startFailure(error);
  }
}

/** What this environment says. Throws a CliFailure (2) with one line per fault. */
export function configured(): Config {
  return configOf(processEnvironment());
}

/** The producers' view of the broker named in the environment; undefined when the server manages its own. */
export function outsideBroker(): { url: string; credsFile: string; caFile: string } | undefined {
  const config = configOf(processEnvironment());
  if (!config.NATS_URL) return undefined;
  return { url: config.NATS_URL, credsFile: config.NATS_CREDS_FILE, caFile: config.NATS_CA_FILE };
}

function configOf(environment: Readonly<Record<string, string | undefined>>): Config {
  try {
    return readConfig(environment);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw unusable(
      ['the configuration cannot be used', ...error.faults.map((fault) => `  ${fault}`)].join('\n'),
      error,
    );
  }
}

async function launch(config: Config, overrides: Overrides = {}): Promise<RunningServer> {
  try {
    if (!config.NATS_URL) await ensureNats({ onInstall: announceInstall });
    const { startServer } = await import('../server.ts');
    return await startServer(config, overrides);
  } catch (error) {
    throw startFailure(error);
  }
}

/** Installing takes a while: whoever waits is told, whatever the level of logs. */
function announceInstall(how: string): void {
  process.stderr.write(`nats-server is not here; installing it: ${how}\n`);
}

/** What was refused on purpose, or by the system, is one sentence; anything else is a fault and keeps its stack. */
function startFailure(error: unknown): unknown {
  if (error instanceof CliFailure) return error;
  const bySystem = typeof (error as NodeJS.ErrnoException).code === 'string';
  if (!(error instanceof AppError) && !bySystem) return error;
  return unusable(`the server cannot start: ${describeError(error)}`, error);
}
