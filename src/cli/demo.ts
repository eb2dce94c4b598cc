/** `homeostat demo`: a server of its own and a simulated fleet whose one crisis is seen coming, live. */
import { writeFileSync } from 'node:fs';
import { describeError } from '../errors.ts';
import { callsToServer, callsToStream } from './calls.ts';
import { defineCommand, type Terminal } from './command.ts';
import { DEMO_STREAM, type DemoOptions } from './demo-plan.ts';
import { type DemoResult, runDemo } from './demo-run.ts';
import { warningText } from './demo-warning.ts';
import { endpointOf } from './endpoint.ts';
import { type ExitCode, unusable } from './failure.ts';
import { type IsolatedServer, launchIsolated } from './launch.ts';
import { isBalanced } from './stream-account.ts';
import { readDurationMs, readInteger } from './values.ts';

export const demo = defineCommand({
  name: 'demo',
  summary: 'Starts a server and a simulated fleet, drives it through one crisis and shows what happens.',
  positionals: [],
  options: {
    nodes: { value: '<count>', meaning: 'Nodes of the fleet, 1 to 1000; default 12.' },
    seed: { value: '<number>', meaning: 'Same seed, same fleet; default 1.' },
    for: {
      value: '<duration>',
      meaning:
        'How long to watch, at 120 seconds of event time a second; default 60s. 8 h of history come before.',
    },
    json: { value: '<file>', meaning: 'Writes what happened as JSON.' },
    keep: { meaning: 'Keeps serving afterwards, until SIGINT, so that calls can be tried.' },
  },
  notes: [
    'On a terminal the fleet is shown live; elsewhere lines are printed. The server runs in a fresh directory on free\n' +
      'ports and is gone afterwards.',
  ],
  async run(given, _positionals, terminal) {
    const options: DemoOptions = {
      nodes: readInteger('nodes', given.nodes ?? '12', 1, 1_000),
      seed: readInteger('seed', given.seed ?? '1', 0, Number.MAX_SAFE_INTEGER),
      showMs: readDurationMs('for', given.for ?? '60s', 5_000, 3_600_000),
    };
    if (given.json !== undefined) writeJson(given.json, {});
    const startedMs = terminal.clock.monotonicMs();
    const isolated = await launchIsolated(false);
    try {
      const result = await runDemo(options, endpointOf(isolated.dataDir, 'managed'), terminal, startedMs);
      if (given.json !== undefined) writeJson(given.json, result);
      const code = conclude(result, terminal);
      await offerCalls(isolated, given.keep, terminal);
      return code;
    } finally {
      await isolated.dispose();
    }
  },
});

function writeJson(path: string, value: object): void {
  try {
    writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`);
  } catch (error) {
    throw unusable(`${path} cannot be written: ${describeError(error)}`, error);
  }
}

/** Says what happened; fails when samples are unaccounted for. */
function conclude(result: DemoResult, { out, err }: Terminal): ExitCode {
  const { telemetry, sessions } = result;
  const refused = Object.entries(sessions.refusedByLevel).map(
    ([level, count]) => `${count} at level ${level}`,
  );
  out.write(
    [
      '',
      `${result.nodes} nodes, event time ${result.eventTime.start} to ${result.eventTime.end}:`,
      `  samples offered ${telemetry.offered}: accepted ${telemetry.accepted}, duplicate ${telemetry.duplicate}, ` +
        `late ${telemetry.late}, rejected ${telemetry.rejected}`,
      `  energy maps ${result.maps}, the first after ${(result.firstMapMs / 1_000).toFixed(1)} s`,
      `  ${warningText(result)}`,
      `  defense level at most ${result.defenseLevelMax}`,
      ...result.levelChanges.map(({ at, from, to, cause }) => `    ${at}  ${from} -> ${to}  ${cause}`),
      `  sessions created ${sessions.created}, refused ${sessions.refused}` +
        (refused.length > 0 ? ` (${refused.join(', ')})` : ''),
      '',
    ].join('\n'),
  );
  if (isBalanced(telemetry) && telemetry.offered - telemetry.duplicate === result.acknowledged) return 0;
  err.write(`homeostat: ${result.acknowledged} samples were acknowledged but the account differs\n`);
  return 1;
}

/** Where `homeostat serve` listens and keeps its key unless told otherwise. */
const SERVE_DEFAULTS = { grpcAddress: '127.0.0.1:50051', adminKeyFile: '.homeostat/admin.key' };

async function offerCalls(
  { server }: IsolatedServer,
  keep: boolean,
  { out, signal }: Terminal,
): Promise<void> {
  if (!keep) {
    const text =
      'To call the fleet\'s server afterwards, run the demo with --keep. With "homeostat serve" running:';
    out.write([text, ...callsToServer(SERVE_DEFAULTS), ''].join('\n'));
    return;
  }
  out.write(['Calls to try; SIGINT ends the server:', ...callsToStream(server, DEMO_STREAM), ''].join('\n'));
  if (!signal.aborted)
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
}
