/**
 * Checks of the running server, by what it says of itself at /livez and /readyz; and, where none runs, that the ports
 * it would listen on are free.
 */
import { createServer } from 'node:net';
import type { Clock } from '../../clock.ts';
import type { Config } from '../../config.ts';
import { describeError } from '../../errors.ts';
import { listen } from '../../rpc/listen.ts';
import { DEADLINE_MS, LATE, withDeadline } from './deadline.ts';
import { type Finding, ok, problem, warning } from './finding.ts';
import { type HttpAnswer, httpGet } from './http-get.ts';
import { whoListens } from './remedy.ts';
import type { ServerState } from './server-state.ts';

export async function checkServer(config: Config, clock: Clock, server: ServerState): Promise<Finding[]> {
  const { running } = server;
  if (!running) return checkAddresses(config);
  if (running.httpAddress === '')
    return [
      warning(
        'server.live',
        `The server with pid ${running.pid} is starting and does not listen yet.`,
        'Wait some seconds and ask again; if it stays so, its log says what it waits for.',
      ),
    ];
  const [live, ready] = await Promise.all([
    ask(config, clock, running.httpAddress, '/livez'),
    ask(config, clock, running.httpAddress, '/readyz'),
  ]);
  return [
    ...checkSameAddresses(config, running),
    judgeLive(running.pid, live),
    ...(typeof ready === 'object' ? judgeReady(ready.body) : []),
  ];
}

/** The answer, or why there is none. */
async function ask(
  config: Config,
  clock: Clock,
  address: string,
  path: string,
): Promise<HttpAnswer | string> {
  try {
    const answer = await withDeadline(clock, DEADLINE_MS, (signal) => httpGet(config, address, path, signal));
    return answer === LATE ? `no answer within ${DEADLINE_MS / 1000} s` : answer;
  } catch (error) {
    return describeError(error);
  }
}

/** The environment here may not be the one the server was started with; then nothing else here is about that server. */
function checkSameAddresses(
  config: Config,
  running: { grpcAddress: string; httpAddress: string },
): Finding[] {
  const pairs = [
    ['gRPC', config.GRPC_ADDRESS, running.grpcAddress, 'HOMEOSTAT_GRPC_ADDRESS'],
    ['HTTP', config.HTTP_ADDRESS, running.httpAddress, 'HOMEOSTAT_HTTP_ADDRESS'],
  ] as const;
  return pairs
    .filter(([, wanted, taken]) => wanted !== taken && !wanted.endsWith(':0'))
    .map(([what, wanted, taken, variable]) =>
      warning(
        'server.addresses',
        `${what} listens on ${taken}, not on ${wanted}: the server was started with other settings.`,
        `Start the server again, or set ${variable} as it was when the server was started.`,
      ),
    );
}

function judgeLive(pid: number, answer: HttpAnswer | string): Finding {
  const check = 'server.live';
  if (typeof answer === 'object' && answer.status === 200)
    return ok(check, `The server with pid ${pid} is alive: its event loop turns.`);
  const why = typeof answer === 'string' ? answer : answer.body.trim();
  return problem(
    check,
    `The server with pid ${pid} runs and is not alive: ${why}.`,
    `kill ${pid} && homeostat serve   # its log, and top -p ${pid}, say what it was busy with`,
  );
}

/** What to do about each reason for not serving. */
const REASON_REMEDIES: Readonly<Record<string, string>> = {
  STARTING: 'Wait: it recovers what it had. If it stays so, its log says what it waits for.',
  DRAINING: 'It was asked to stop and finishes what is under way; start it again afterwards.',
  STORE_DOWN:
    "The database does not answer: what is said of the database here, and the server's log, tell why.",
  BROKER_DOWN: "The broker does not answer: what is said of the broker here, and the server's log, tell why.",
  FAULTED: 'Its log says why ("context cannot start"); it is tried again every 30 s.',
};

interface Readiness {
  readonly services: ReadonlyArray<{
    readonly service: string;
    readonly status: string;
    readonly reasons: readonly string[];
  }>;
}

function judgeReady(body: string): Finding[] {
  const check = 'server.ready';
  const { services } = JSON.parse(body) as Readiness;
  const down = services.filter(({ status }) => status !== 'SERVING');
  if (down.length === 0) return [ok(check, `All ${services.length - 1} services serve.`)];
  const reasons = [...new Set(down.flatMap((one) => one.reasons))];
  if (reasons.length === 0)
    return [problem(check, 'The server does not serve and does not say why.', 'Look at the end of its log.')];
  return reasons.map((reason) => {
    const names = down
      .filter((one) => one.reasons.includes(reason))
      .map(({ service }) => service || 'the server itself');
    const shown = names.slice(0, 3).join(', ');
    const more = names.length > 3 ? ` and ${names.length - 3} more` : '';
    const remedy = REASON_REMEDIES[reason] ?? `Look for ${reason} in the server's log.`;
    return problem(check, `Not serving because of ${reason}: ${shown}${more}.`, remedy);
  });
}

async function checkAddresses(config: Config): Promise<Finding[]> {
  const { GRPC_ADDRESS: grpc, HTTP_ADDRESS: http } = config;
  if (grpc === http && !grpc.endsWith(':0'))
    return [
      problem(
        'server.addresses',
        `gRPC and HTTP are both to listen on ${grpc}.`,
        'Set HOMEOSTAT_HTTP_ADDRESS to another port.',
      ),
    ];
  return Promise.all([
    checkAddress('gRPC', grpc, 'HOMEOSTAT_GRPC_ADDRESS'),
    checkAddress('HTTP', http, 'HOMEOSTAT_HTTP_ADDRESS'),
  ]);
}

/** Listens for an instant, which is the only way to know; nobody is answered. */
async function checkAddress(what: string, address: string, variable: string): Promise<Finding> {
  const check = 'server.addresses';
  const server = createServer((socket) => socket.destroy());
  try {
    await listen(server, address, what, variable);
    await new Promise((resolve) => server.close(resolve));
    return ok(
      check,
      address.endsWith(':0') ? `${what} takes a free port.` : `${address} is free for ${what}.`,
    );
  } catch (error) {
    const port = Number(address.slice(address.lastIndexOf(':') + 1));
    const { code } = (error as Error).cause as NodeJS.ErrnoException;
    const remedy =
      code === 'EADDRINUSE'
        ? `${whoListens(port)}   # end that program, or set ${variable}`
        : `Set ${variable} to an address of this machine, with a port above 1023.`;
    return problem(check, `${describeError(error)}.`, remedy);
  }
}
