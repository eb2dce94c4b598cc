/** A server in a process of its own, to be examined, stopped or killed. Says where it listens once it does. */
import { processEnvironment, readConfig } from '../../src/config.ts';
import { createLogger } from '../../src/observability.ts';
import { UNLOADED } from '../../src/rpc/load-signals.ts';
import { startServer } from '../../src/server.ts';

const server = await startServer(readConfig(processEnvironment()), {
  logger: createLogger('silent'),
  load: UNLOADED, // This machine may be busy with other tests.
});
process.once('SIGTERM', () => void server.stop().then(() => process.exit(0)));
console.log(JSON.stringify({ grpcAddress: server.grpcAddress, httpAddress: server.httpAddress }));
