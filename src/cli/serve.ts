/** `homeostat serve`: a server from the environment, until the process is asked to end. */
import { callsToServer } from './calls.ts';
import { defineCommand } from './command.ts';
import { launchFromEnvironment } from './launch.ts';

export const serve = defineCommand({
  name: 'serve',
  summary: 'Starts a server from the environment and runs it until SIGINT or SIGTERM.',
  positionals: [],
  options: {},
  notes: [
    'Every setting is a variable HOMEOSTAT_…; docs/configuration.md lists them. Without any, gRPC listens on\n' +
      '127.0.0.1:50051, HTTP on 127.0.0.1:8080, and everything is kept in .homeostat.',
  ],
  async run(_given, _positionals, terminal) {
    const server = await launchFromEnvironment();
    terminal.out.write(
      [
        `gRPC on ${server.grpcAddress}, HTTP on ${server.httpAddress}`,
        `admin key in ${server.adminKeyFile}`,
        ...(server.producerUrlFile ? [`producers connect with the URL in ${server.producerUrlFile}`] : []),
        'try:',
        ...callsToServer(server),
        '',
      ].join('\n'),
    );
    if (!terminal.signal.aborted) {
      await new Promise<void>((resolve) => terminal.signal.addEventListener('abort', () => resolve()));
    }
    await server.stop();
    return 0;
  },
});
