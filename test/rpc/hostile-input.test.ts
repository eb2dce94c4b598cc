/** Text that attacks databases, shells, pages, paths and logs: returned as it was given, as data, or refused. */
import { constants } from 'node:http2';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type EdgeWorld, startEdge } from './edge-world.ts';
import { type Free, type ProbeClient, probeBinding, probeClient } from './probe-contract.ts';
import { answerOf, beginCall, framed, openSession, SERVICE } from './raw-client.ts';

let world: EdgeWorld;
let probe: ProbeClient;
beforeAll(async () => {
  world = await startEdge({
    bindings: [
      probeBinding({ mirror: ({ text, others }) => ({ text: text!, others: others! }), greet: () => ({}) }),
    ],
    config: { tokensPerMinute: { FREE: 1e9, PRO: 1e9, ENTERPRISE: 1e9 } },
  });
  probe = probeClient(world.channel);
});
afterAll(() => world.stop());

const TEXTS = [
  "'; DROP TABLE session_session; --",
  "' OR '1'='1",
  '1; ATTACH DATABASE "/tmp/x" AS x',
  '$(reboot) `reboot` | reboot & reboot',
  '<script>alert(document.cookie)</script>',
  '....//....//etc/passwd',
  '..\\..\\windows\\system32',
  '%2e%2e%2f%00',
  'homeostat.telemetry.v1.>',
  '*.*',
  'line\r\nauthorization: Bearer stolen\r\n\r\n',
  '{"level":60,"msg":"forged"}\n{"level":30}',
  '__proto__',
  'constructor',
  '\u0000\u0001\u001b[2J\u007f',
  '\u202e\u200b\ufeff',
  'e\u0301 \u00e9',
  '💥'.repeat(1_000),
  'x'.repeat(1_000_000),
];

describe('identity.I1 text', () => {
  test.each(TEXTS.map((text) => [JSON.stringify(text.slice(0, 40)), text]))(
    '%s is returned verbatim',
    async (_name, text) => {
      const others: Record<string, Free> = Object.create(null);
      others[text.slice(0, 100)] = { text };
      const reply = await probe.mirror({ text, others });
      expect(reply.text).toBe(text);
      const kept = Object.entries(reply.others!).map(([key, { text: inner }]) => [key, inner]);
      // A map of protobuf-es is an object, where this one name is no key.
      expect(kept).toEqual(text === '__proto__' ? [] : [[text.slice(0, 100), text]]);
      expect(({} as Record<string, unknown>)['text']).toBeUndefined();
    },
  );

  test('of any kind is returned verbatim', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'grapheme', maxLength: 200 }), async (text) => {
        expect((await probe.mirror({ text })).text).toBe(text);
      }),
      { numRuns: 100 },
    );
  });

  test('in credentials, criticality and trace context is refused or ignored, and forges no log line', async () => {
    const before = world.lines.length;
    for (const text of TEXTS.filter((one) => /^[\x20-\x7e]{1,100}$/.test(one))) {
      const session = openSession(world.address);
      const stream = beginCall(session, `${SERVICE}/Mirror`, {
        authorization: `Bearer ${text}`,
        'homeostat-criticality': text,
        traceparent: text,
      });
      stream.end(framed(Buffer.alloc(0)));
      expect(await answerOf(stream)).toMatchObject({ 'grpc-status': '16' });
      session.destroy();
    }
    const lines = world.lines.slice(before);
    expect(lines.length).toBeGreaterThan(5);
    for (const line of lines)
      expect(line).toMatchObject({ level: 30, msg: 'call refused', reason: 'BAD_TOKEN' });
    expect(JSON.stringify(lines)).not.toContain('DROP TABLE');
  });

  test.each([
    '/../../etc/passwd',
    "/x' OR '1'='1",
    `${SERVICE}/Echo/../Greet`,
    '/%00',
    `/${'x'.repeat(8_000)}`,
  ])('as the path %s names no method', async (path) => {
    const session = openSession(world.address);
    const stream = beginCall(session, path);
    stream.end(framed(Buffer.alloc(0)));
    const { 'grpc-status': status, rstCode } = await answerOf(stream);
    expect(status === '12' || rstCode === constants.NGHTTP2_PROTOCOL_ERROR).toBe(true);
    session.destroy();
    expect(await probe.greet({})).toBeDefined();
  });
});

describe('identity.I1 bytes', () => {
  async function statusOf(message: Uint8Array): Promise<unknown> {
    const session = openSession(world.address);
    const stream = beginCall(session, `${SERVICE}/Mirror`);
    stream.end(framed(message));
    const { 'grpc-status': status } = await answerOf(stream);
    session.destroy();
    return status;
  }

  test.each([
    ['a lone continuation byte', [0x0a, 0x01, 0x80]],
    ['an overlong slash', [0x0a, 0x02, 0xc0, 0xaf]],
    ['a surrogate', [0x0a, 0x03, 0xed, 0xa0, 0x80]],
    ['a cut sequence', [0x0a, 0x02, 0xe2, 0x82]],
  ])('that are no UTF-8 (%s) are refused', async (_what, bytes) => {
    expect(await statusOf(Buffer.from(bytes))).toBe('3');
  });

  test('nested deeper than 64 messages are refused, 64 are not', async () => {
    const nested = (depth: number): Buffer => {
      let message = Buffer.alloc(0);
      for (let i = 1; i < depth; i++) {
        const length =
          message.length < 128 ? [message.length] : [(message.length & 0x7f) | 0x80, message.length >> 7];
        message = Buffer.concat([Buffer.from([0x12, ...length]), message]);
      }
      return message;
    };
    expect([await statusOf(nested(64)), await statusOf(nested(65))]).toEqual(['0', '3']);
    expect(await statusOf(Buffer.alloc(100_000, Buffer.from([0x13])))).toBe('3'); // Groups without end.
  });

  test('of any kind are answered or refused, and the server lives', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 100 }), async (bytes) => {
        expect(['0', '3']).toContain(await statusOf(bytes));
      }),
      { numRuns: 100 },
    );
    expect(await probe.greet({})).toBeDefined();
  });
});
