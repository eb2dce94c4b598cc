/**
 * Checks of the broker, managed or outside, by asking it: what it is, what it promises and what it holds. A managed one
 * that does not run is only a fault beside a running server; an outside one has to answer always.
 */
import { resolve } from 'node:path';
import { managedDurability } from '../../bus/durability.ts';
import {
  type FindNatsOptions,
  findNats,
  formatVersion,
  isAtLeast,
  OLDEST_NATS,
} from '../../bus/find-nats.ts';
import { type BrokerFailure, type BrokerView, inspectBroker } from '../../bus/inspect.ts';
import { TELEMETRY_STREAM } from '../../bus/streams.ts';
import type { Clock } from '../../clock.ts';
import type { Config } from '../../config.ts';
import type { TimeReading } from './clocks.ts';
import { DEADLINE_MS, LATE, withDeadline } from './deadline.ts';
import { type Finding, formatBytes, ok, problem, warning } from './finding.ts';
import { checkProcess, checkProgram, checkReplaced } from './managed-broker.ts';
import type { ServerState } from './server-state.ts';

export interface BrokerCheck {
  readonly findings: readonly Finding[];
  /** The broker's clock, when it told. */
  readonly time?: TimeReading | undefined;
  /** What raw telemetry takes now, when the broker told. */
  readonly telemetryBytes?: number | undefined;
}

export interface BrokerCheckOptions {
  readonly config: Config;
  readonly clock: Clock;
  readonly server: ServerState;
  /** Where to look for nats-server; default as the server does. */
  readonly nats?: FindNatsOptions;
}

const SECONDS = `${DEADLINE_MS / 1000} s`;

export async function checkBroker(options: BrokerCheckOptions): Promise<BrokerCheck> {
  return options.config.NATS_URL === '' ? checkManaged(options) : checkOutside(options);
}

async function checkOutside({ config, clock, server }: BrokerCheckOptions): Promise<BrokerCheck> {
  const { NATS_URL: url, NATS_CREDS_FILE: credsFile, NATS_CA_FILE: caFile } = config;
  const view = await look(clock, { url, ...(credsFile && { credsFile }), ...(caFile && { caFile }) });
  if (view === LATE) {
    const found = `The NATS server of HOMEOSTAT_NATS_URL did not answer within ${SECONDS}.`;
    const remedy = 'Look at its log and its load; a broker that stays silent has to be started again.';
    return { findings: [problem('broker.connection', found, remedy)] };
  }
  if (view.failure !== undefined) return { findings: [explainOutside(view)] };
  return judge(view, server.running !== undefined);
}

function look(clock: Clock, at: { url: string; credsFile?: string; caFile?: string }) {
  return withDeadline(clock, DEADLINE_MS, (signal) =>
    inspectBroker({ ...at, clock, timeoutMs: DEADLINE_MS, signal }),
  );
}

const OUTSIDE_REMEDIES: Record<BrokerFailure['failure'], string> = {
  UNUSABLE:
    'Set HOMEOSTAT_NATS_URL to nats://host:port or tls://host:port, and its files to ones that can be read.',
  UNREACHABLE:
    'Start it, let this machine reach it (nc -vz <host> <port> tries), or correct HOMEOSTAT_NATS_URL.',
  REFUSED: 'Correct the user in HOMEOSTAT_NATS_URL or the file in HOMEOSTAT_NATS_CREDS_FILE.',
};

function explainOutside({ failure, address, detail }: BrokerFailure): Finding {
  const found = `The NATS server at ${address} cannot be used: ${detail}.`;
  return problem('broker.connection', found, OUTSIDE_REMEDIES[failure]);
}

async function checkManaged(options: BrokerCheckOptions): Promise<BrokerCheck> {
  const { config, clock, server, nats } = options;
  const [searched, { pid, url, finding }] = await Promise.all([
    withDeadline(clock, DEADLINE_MS, () => findNats(nats)),
    checkProcess(resolve(config.DATA_DIR), server),
  ]);
  const binary = searched === LATE ? undefined : searched;
  const findings = [checkProgram(binary), finding];
  if (pid === undefined) return { findings };
  const view = url === undefined ? undefined : await look(clock, { url });
  if (view === undefined || view === LATE || view.failure !== undefined)
    return { findings: [...findings, explainManaged(pid, view)] };
  // The server does not ask its own broker either: it wrote the settings.
  const durability = managedDurability(view.version);
  const judged = judge({ ...view, durability }, server.running !== undefined);
  return { ...judged, findings: [...findings, ...checkReplaced(view.version, binary), ...judged.findings] };
}

/** Why a broker that runs tells nothing: it was not asked, does not answer, or lets us not in. */
function explainManaged(pid: number, view: BrokerFailure | typeof LATE | undefined): Finding {
  const check = 'broker.connection';
  const restart = 'Start the server again: it gives the broker its secrets and settings back.';
  if (view === undefined)
    return warning(check, "The server's secret cannot be read, so the broker was not asked.", restart);
  const who = `The managed nats-server with pid ${pid}`;
  if (view === LATE || view.failure === 'UNREACHABLE') {
    const found = view === LATE ? `did not answer within ${SECONDS}` : `cannot be reached: ${view.detail}`;
    return problem(check, `${who} ${found}.`, `kill -9 ${pid}   # a running server starts it again`);
  }
  return problem(check, `${who} refuses the server's own secret: ${view.detail}.`, restart);
}

/** What a broker that answers is like. Streams are made by the server, so they may only be missing while none runs. */
function judge(view: BrokerView, serverRuns: boolean): BrokerCheck {
  const findings = [judgeVersion(view), judgeDurability(view), judgeJetStream(view)];
  if (view.jetstream === 'ENABLED') findings.push(...judgeStreams(view, serverRuns));
  if (view.neighbors.length > 0) findings.push(judgeNeighbors(view.neighbors));
  const telemetry = view.streams.find(({ name }) => name === TELEMETRY_STREAM);
  return { findings, time: view.time, telemetryBytes: telemetry?.bytes };
}

function judgeVersion({ address, version }: BrokerView): Finding {
  const check = 'broker.version';
  const found = `The NATS server at ${address} is version ${formatVersion(version)}`;
  if (isAtLeast(version, OLDEST_NATS)) return ok(check, `${found}.`);
  return problem(
    check,
    `${found}, too old.`,
    `Install nats-server ${formatVersion(OLDEST_NATS)} or newer there.`,
  );
}

function judgeDurability({ durability }: BrokerView): Finding {
  const check = 'broker.durability';
  if (durability === 'SYNCED') return ok(check, 'It syncs every message before it acknowledges it (SYNCED).');
  if (durability === 'UNKNOWN')
    return ok(
      check,
      'It does not tell whether it syncs before it acknowledges (UNKNOWN), and receipts say so.',
    );
  return warning(
    check,
    'It acknowledges before it syncs (BUFFERED): a power failure can lose the last telemetry.',
    'Use nats-server 2.10 or newer with sync_interval: always; the managed broker then sets it itself.',
  );
}

function judgeJetStream({ jetstream }: BrokerView): Finding {
  const check = 'broker.jetstream';
  if (jetstream === 'ENABLED') return ok(check, 'JetStream is enabled.');
  if (jetstream === 'DISABLED')
    return problem(
      check,
      'JetStream is not enabled for this account.',
      'Add jetstream { store_dir: … } to its configuration, and jetstream: enabled to the account (docs/broker.md).',
    );
  return problem(
    check,
    'JetStream does not answer this user.',
    'Allow the user to publish $JS.API.> and to subscribe to _HOMEOSTAT_INBOX.> (docs/broker.md).',
  );
}

function judgeStreams({ streams }: BrokerView, serverRuns: boolean): Finding[] {
  const check = 'broker.streams';
  const missing = streams.filter(({ present }) => !present).map(({ name }) => name);
  const inMemory = streams.filter((stream) => stream.inMemory).map(({ name }) => name);
  const findings: Finding[] = [];
  if (missing.length > 0 && serverRuns)
    findings.push(
      problem(
        check,
        `${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} missing, though a server runs.`,
        'Start the server again: it makes them; what they held is lost.',
      ),
    );
  else if (missing.length > 0)
    findings.push(ok(check, `${missing.join(', ')} not there yet: the first server makes them.`));
  if (inMemory.length > 0)
    findings.push(
      problem(
        check,
        `${inMemory.join(', ')} in memory: acknowledged messages are lost when the broker ends.`,
        `nats stream rm ${inMemory.join(' ')}   # with the server stopped; its next start makes them on disk`,
      ),
    );
  if (findings.length > 0) return findings;
  const held = streams.map(({ name, messages, bytes }) => `${name} ${messages} (${formatBytes(bytes)})`);
  return [ok(check, `Messages in the streams: ${held.join(', ')}.`)];
}

/** In one account a producer can make JetStream write its acknowledgement on the subject of an event. */
function judgeNeighbors(names: readonly string[]): Finding {
  const shown = [...new Set(names.map((name) => name || 'one without a name'))].slice(0, 3).join(', ');
  const found = `${names.length} ${names.length === 1 ? 'other connection is' : 'other connections are'} in the server's own account, where events can be forged: ${shown}.`;
  return warning(
    'broker.account',
    found,
    'Give producers an account of their own: docs/broker.md has the configuration.',
  );
}
