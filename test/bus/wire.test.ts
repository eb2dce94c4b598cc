import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type Frame, FrameParser } from '../../src/bus/frame-parser.ts';
import { AckSubjects, type RawDelivery, readRawDelivery } from '../../src/bus/raw-delivery.ts';
import { SubjectCache } from '../../src/bus/subject-cache.ts';

interface Operation {
  readonly bytes: Buffer;
  readonly seen: string;
}

function read(frame: Frame): string {
  const { bytes } = frame;
  const text = (start: number, end: number) => bytes.toString('latin1', start, end);
  return [
    text(frame.subjectStart, frame.subjectEnd),
    text(frame.replyStart, frame.replyEnd),
    text(frame.headersStart, frame.dataStart),
    text(frame.dataStart, frame.dataEnd),
  ].join('|');
}

const token = fc.stringMatching(/^[A-Za-z0-9_$-]{1,12}$/);
const subject = fc.array(token, { minLength: 1, maxLength: 6 }).map((tokens) => tokens.join('.'));
const body = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));

const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({ subject, reply: fc.option(subject), body }).map(({ subject, reply, body }) => ({
    bytes: Buffer.concat([
      Buffer.from(`MSG ${subject} 1 ${reply === null ? '' : `${reply} `}${body.length}\r\n`),
      body,
      Buffer.from('\r\n'),
    ]),
    seen: `${subject}|${reply ?? ''}||${body.toString('latin1')}`,
  })),
  fc.record({ subject, reply: fc.option(subject), body, key: token }).map(({ subject, reply, body, key }) => {
    const head = `NATS/1.0\r\n${key}: x\r\n\r\n`;
    const sizes = `${head.length} ${head.length + body.length}`;
    return {
      bytes: Buffer.concat([
        Buffer.from(`HMSG ${subject} 1 ${reply === null ? '' : `${reply} `}${sizes}\r\n${head}`),
        body,
        Buffer.from('\r\n'),
      ]),
      seen: `${subject}|${reply ?? ''}|${head}|${body.toString('latin1')}`,
    };
  }),
  fc.constant({ bytes: Buffer.from('PING\r\n'), seen: 'PING' }),
  fc.constant({ bytes: Buffer.from('PONG\r\n'), seen: 'PONG' }),
  fc.constant({ bytes: Buffer.from('+OK\r\n'), seen: '' }),
  fc.constant({ bytes: Buffer.from('INFO {"ldm":true}\r\n'), seen: '' }),
  fc.constant({ bytes: Buffer.from("-ERR 'Stale Connection'\r\n"), seen: "error 'Stale Connection'" }),
);

describe('the frame parser', () => {
  test('sees the same operations however the bytes are cut', () => {
    fc.assert(
      fc.property(
        fc.array(operation, { maxLength: 20 }),
        fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 50 }),
        (operations, cuts) => {
          const seen: string[] = [];
          const parser = new FrameParser((frame) => seen.push(read(frame)));
          parser.onPing = () => seen.push('PING');
          parser.onPong = () => seen.push('PONG');
          parser.onError = (detail) => seen.push(`error ${detail}`);
          const stream = Buffer.concat(operations.map((one) => one.bytes));
          for (let at = 0, i = 0; at < stream.length; i++) {
            const end = at + cuts[i % cuts.length]!;
            parser.push(stream.subarray(at, end));
            at = end;
          }
          expect(seen).toEqual(operations.map((one) => one.seen).filter((text) => text !== ''));
        },
      ),
    );
  });
});

describe('the subject of a delivery', () => {
  const forms = [
    { name: 'of nine tokens', head: '$JS.ACK.TELEMETRY.fold.', tail: '' },
    { name: 'of twelve tokens', head: '$JS.ACK.hub.AB3x.TELEMETRY.fold.', tail: '.r4nd' },
    { name: 'of eleven tokens', head: '$JS.ACK._.AB3x.TELEMETRY.fold.', tail: '' },
  ];
  const out: RawDelivery = { sequence: 0, order: 0, receivedAtMs: 0, pending: 0 };
  const frameOf = (reply: string) => {
    const bytes = Buffer.from(`MSG a 1 ${reply} 0\r\n\r\n`);
    let found: Frame | undefined;
    new FrameParser((frame) => {
      found = { ...frame };
    }).push(bytes);
    return found!;
  };

  test.each(forms)('$name is read and written', ({ head, tail }) => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 2 ** 52 }),
        fc.integer({ min: 1, max: 2 ** 52 }),
        fc.integer({ min: 1e12, max: 9e12 }),
        fc.integer({ min: 0, max: 2 ** 40 }),
        (sequence, order, ms, pending) => {
          const frame = frameOf(`${head}1.${sequence}.${order}.${ms}123456.${pending}${tail}`);
          const acks = new AckSubjects('fold');
          acks.learn(frame);
          readRawDelivery(frame.bytes, frame.replyStart + acks.prefixLength, frame.replyEnd, out);
          expect(out).toEqual({ sequence, order, receivedAtMs: ms, pending });
          acks.note(sequence, order);
          expect(acks.take(sequence)).toBe(`${head}1.${sequence}.${order}.${ms}123456.${pending}${tail}`);
          expect(acks.take(sequence + 5)).toContain(`.1.${sequence + 5}.${order + 5}.`);
        },
      ),
    );
  });

  test('is unknown for a sequence that was not delivered', () => {
    const acks = new AckSubjects('fold');
    acks.learn(frameOf('$JS.ACK.TELEMETRY.fold.1.7.1.1700000000000000000.0'));
    expect(acks.take(7)).toBeUndefined();
    acks.note(7, 1);
    expect(acks.take(6)).toBeUndefined();
    expect(acks.take(7)).toBeDefined();
  });
});

describe('the subject cache', () => {
  test('gives the text of the bytes, and the same string each time', () => {
    const cache = new SubjectCache();
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'grapheme', minLength: 1 }), { minLength: 1 }), (texts) => {
        for (const text of [...texts, ...texts]) {
          const bytes = Buffer.from(`<${text}>`);
          expect(cache.read(bytes, 1, bytes.length - 1)).toBe(text);
        }
      }),
    );
  });

  test('forgets rather than grows', () => {
    const cache = new SubjectCache();
    const read = (i: number) => {
      const bytes = Buffer.from(`node-${i}`);
      return cache.read(bytes, 0, bytes.length);
    };
    for (let i = 0; i < 200_000; i++) if (read(i) !== `node-${i}`) throw new Error(`wrong at ${i}`);
    expect(read(3)).toBe('node-3');
  });
});
