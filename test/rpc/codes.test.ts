/** What HTTP would say, as gRPC says it, and the other way round where both edges can be asked. */
import { afterEach, describe, expect, test } from '@jest/globals';
import { createFakeClock } from '../support/fake-clock.ts';
import { type EdgeWorld, READER_TOKEN, startEdge, TOKEN } from './edge-world.ts';
import { probeBinding } from './probe-contract.ts';
import { answerOf, beginCall, framed, openSession, SERVICE } from './raw-client.ts';

let world: EdgeWorld;
afterEach(() => world.stop());

async function call(path: string, body: Buffer, headers: Record<string, string> = {}): Promise<string> {
  const session = openSession(world.address);
  const stream = beginCall(session, path, headers);
  stream.end(body);
  const answer = await answerOf(stream);
  session.destroy();
  return `${answer['grpc-status']} ${String(answer['grpc-message'] ?? '').split(':')[0]}`.trim();
}

const EMPTY = framed(Buffer.alloc(0));
const LONG_TEXT = framed(Buffer.from('\n\x09123456789'));
const stranger = { authorization: '' };
const reader = { authorization: `Bearer ${READER_TOKEN}` };

describe('identity.X2 what HTTP calls', () => {
  const broken = () => {
    throw new Error('broken');
  };

  test.each([
    ['400', `${SERVICE}/Echo`, framed(Buffer.from([0x0f])), {}, '3 MALFORMED'],
    ['401', `${SERVICE}/Echo`, EMPTY, stranger, '16 MISSING_CREDENTIALS'],
    ['403', `${SERVICE}/Echo`, EMPTY, reader, '7 NO_PERMISSION'],
    ['404', '/grpc.health.v1.Health/Check', framed(Buffer.from('\n\x01x')), {}, '5 SERVICE_NOT_FOUND'],
    [
      '405',
      `${SERVICE}/Sing`,
      EMPTY,
      {},
      '12 The server does not implement the method /homeostat.probe.v1.ProbeService/Sing',
    ],
    ['422', `${SERVICE}/Echo`, LONG_TEXT, {}, '3 FIELD_INVALID'],
    ['500', `${SERVICE}/Greet`, EMPTY, {}, '13 INTERNAL'],
  ])('%s', async (_status, path, body, headers, expected) => {
    world = await startEdge({ bindings: [probeBinding({ echo: () => ({}), greet: broken })] });
    expect((await call(path, body, headers)).replaceAll('%20', ' ')).toBe(expected);
  });

  test('413 is RESOURCE_EXHAUSTED', async () => {
    world = await startEdge({
      bindings: [probeBinding({ echo: () => ({}) })],
      config: { receiveBytesMax: 1_000 },
    });
    expect(await call(`${SERVICE}/Echo`, framed(Buffer.alloc(1_001)))).toMatch(/^8 /);
  });

  test('429 is RESOURCE_EXHAUSTED', async () => {
    const tokensPerMinute = { FREE: 1, PRO: 1, ENTERPRISE: 1 };
    const clock = createFakeClock();
    world = await startEdge({
      bindings: [probeBinding({ echo: () => ({}) })],
      config: { tokensPerMinute },
      clock,
    });
    expect(await call(`${SERVICE}/Echo`, EMPTY)).toBe('0 OK');
    expect(await call(`${SERVICE}/Echo`, EMPTY)).toBe('8 RATE_LIMITED');
  });

  test('503 is UNAVAILABLE', async () => {
    let answer = () => {};
    const echo = () =>
      new Promise<object>((resolve) => {
        answer = () => resolve({});
      });
    world = await startEdge({ bindings: [probeBinding({ echo, greet: () => ({}) })] });
    const session = openSession(world.address);
    const held = beginCall(session, `${SERVICE}/Echo`, { authorization: `Bearer ${TOKEN}` });
    held.end(EMPTY);
    const opening = beginCall(session, `${SERVICE}/Greet`);
    opening.end(EMPTY);
    await answerOf(opening); // A round trip: the first call is under way.
    const stopped = world.server.stop(5_000);
    const late = beginCall(session, `${SERVICE}/Greet`);
    late.end(EMPTY);
    expect(await answerOf(late)).toMatchObject({
      'grpc-status': '14',
      'grpc-message': expect.stringMatching(/^DRAINING/),
    });
    answer();
    await stopped;
    session.destroy();
  });
});
