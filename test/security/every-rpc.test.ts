/** Every RPC of a running server: called with a field that breaks a rule, and given up by its caller. */
import { once } from 'node:events';
import { get } from 'node:http';
import { text } from 'node:stream/consumers';
import { type DescMethod, type Message, toBinary } from '@bufbuild/protobuf';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { pino } from 'pino';
import { type Channel, openChannel, RpcError } from '../../src/client/client.ts';
import { Health } from '../../src/gen/grpc/health/v1/health_pb.ts';
import {
  BatchOutcome,
  type IngestResponse,
  RejectReason,
  TelemetryService,
} from '../../src/gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { brokenRequests, goodMessage, type RuleCase } from '../rpc/rule-cases.ts';
import { answersOf, byPath, methods, ownMethods, pathOf } from '../support/contract.ts';
import { eventually } from '../support/eventually.ts';
import { startWorld, type World } from '../support/world.ts';

const INGEST = pathOf(TelemetryService.method.ingest);
let world: World;
let channel: Channel;
const lines: Record<string, unknown>[] = [];

beforeAll(async () => {
  const write = (line: string) => void lines.push(JSON.parse(line));
  world = await startWorld({ overrides: { logger: pino({ level: 'warn', base: null }, { write }) } });
}, 60_000);
afterAll(() => world?.stop());
// A connection for each test: one that gives up hundreds of calls is dropped.
beforeEach(() => {
  const { grpcAddress: address } = world.server;
  channel = openChannel({ address, token: world.adminKey, retry: { attempts: 1 } });
});
afterEach(() => channel.close());

/** Everything a call answers, or how it fails. */
async function endOf(answers: AsyncIterable<Message>): Promise<RpcError | readonly Message[]> {
  const all: Message[] = [];
  try {
    for await (const answer of answers) all.push(answer);
    return all;
  } catch (error) {
    if (error instanceof RpcError) return error;
    throw error;
  }
}

describe('endpoints: every RPC refuses a request that breaks a rule', () => {
  const REQUEST_BYTES_MAX = 1024;
  const firstSmall = ({ input }: DescMethod): RuleCase | undefined => {
    for (const found of brokenRequests(input))
      if (toBinary(input, found.request as Message).length <= REQUEST_BYTES_MAX) return found;
    return undefined;
  };
  const ruled: [string, DescMethod, RuleCase][] = [];
  const free: string[] = [];
  for (const method of ownMethods) {
    const found = firstSmall(method);
    if (found) ruled.push([pathOf(method), method, found]);
    else free.push(pathOf(method));
  }

  test.each(ruled)('%s', async (name, method, { request, path }) => {
    const end = await endOf(answersOf(channel, method, request as Message));
    // A producer's stream goes on: what is wrong is in the answer.
    if (name === INGEST) {
      const [{ ack }] = end as [IngestResponse];
      expect(ack).toMatchObject({ outcome: BatchOutcome.REJECTED, reason: RejectReason.MALFORMED });
      expect(ack!.violations).toEqual([expect.stringContaining(`${path}: `)]);
    } else
      expect(end).toMatchObject({
        code: 'INVALID_ARGUMENT',
        reason: 'FIELD_INVALID',
        violations: [{ field: path }],
      });
  });

  test('but those that have none', () => {
    expect(free).toEqual([
      'homeostat.identity.v1.AuditService/GetAuditHead',
      'homeostat.identity.v1.AuthService/Logout',
      'homeostat.identity.v1.AuthService/GetJwks',
      'homeostat.identity.v1.UserService/ListRoles',
      'homeostat.ledger.v1.LedgerService/GetEntry',
      'homeostat.ledger.v1.LedgerService/GetCheckpoint',
      'homeostat.ledger.v1.LedgerService/GetInclusionProof',
      'homeostat.ledger.v1.LedgerService/GetLogKeys',
      'homeostat.ledger.v1.LedgerService/WatchCheckpoints',
    ]);
  });
});

/**
 * Given up at each turn of the event loop that client and server share, so before, while and after the server hears of
 * the call: until it is answered first, or, where it goes on, once the server counts it. Some handlers are done within a
 * turn; `cancellation.test.ts` holds each of them at work.
 */
describe('endpoints: every RPC can be given up at any time', () => {
  const TURNS_MAX = 8;

  /** Calls of a method: those under way, and those that ended, by code. */
  async function countsOf({ name, parent }: DescMethod): Promise<Record<string, number>> {
    const [response] = await once(
      get(`http://${world.server.httpAddress}/metrics`, { agent: false }),
      'response',
    );
    const exposed = await text(response);
    const labels = `service="${parent.typeName}",method="${name}"`;
    const line = new RegExp(
      `^homeostat_rpc_(?:in_flight|requests_total)\\{${labels}(?:,code="(\\w+)")?\\} (\\d+)$`,
      'gm',
    );
    const found = [...exposed.matchAll(line)];
    return Object.fromEntries(found.map(([, code = 'under way', count]) => [code, Number(count)]));
  }

  /** Calls, gives up when `until` resolves, and tells how the call ended, for the client. */
  async function giveUp(method: DescMethod, until: (hasEnded: () => boolean) => Promise<unknown>) {
    const canceled = new AbortController();
    const request = goodMessage(method.input) as Message;
    let hasEnded = false;
    const ended = endOf(answersOf(channel, method, request, { signal: canceled.signal })).finally(() => {
      hasEnded = true;
    });
    await until(() => hasEnded);
    canceled.abort();
    const end = await ended;
    return end instanceof RpcError ? end.code : 'OK';
  }

  test.each(byPath(methods))('%s', async (_path, method) => {
    let code = 'CANCELLED';
    for (let turns = 0; turns <= TURNS_MAX && code === 'CANCELLED'; turns++)
      code = await giveUp(method, async (hasEnded) => {
        for (let turn = 0; turn < turns && !hasEnded(); turn++)
          await new Promise((resolve) => setImmediate(resolve));
      });
    if (code === 'CANCELLED')
      code = await giveUp(method, (hasEnded) =>
        eventually(
          () => countsOf(method),
          (counts) => hasEnded() || counts['under way']! > 0,
        ),
      );
    const counts = await eventually(
      () => countsOf(method),
      (found) => found['under way'] === 0,
    );
    for (const fault of ['INTERNAL', 'UNKNOWN', 'DATA_LOSS', 'UNAVAILABLE', 'UNIMPLEMENTED'])
      expect({ ...counts, [code]: 1 }).not.toHaveProperty(fault);
    expect(lines).toEqual([]);
    expect(
      await endOf(answersOf(channel, Health.method.check, goodMessage(Health.method.check.input) as Message)),
    ).toMatchObject([{}]);
  });
});
