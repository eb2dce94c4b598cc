import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  RejectReason,
  TelemetryBatchSchema,
} from '../../src/gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { ACCEPTED, DUPLICATE, LATE, offered, rejectedFor } from '../../src/telemetry/fold/counts.ts';
import {
  accepted,
  type BatchInit,
  batchInit,
  counts,
  createHarness,
  encodeBatch,
  START_MS,
  subjectOf,
} from './messages.ts';

const MALFORMED = rejectedFor(RejectReason.MALFORMED);
const MISMATCH = rejectedFor(RejectReason.SUBJECT_MISMATCH);
const NOT_FINITE = rejectedFor(RejectReason.NOT_FINITE);
const UNIT_CHANGED = rejectedFor(RejectReason.UNIT_CHANGED);
const FUTURE = rejectedFor(RejectReason.FUTURE_TIMESTAMP);
const TOO_OLD = rejectedFor(RejectReason.SEQUENCE_TOO_OLD);
const SERIES = rejectedFor(RejectReason.SERIES_LIMIT);

/** A good batch with some fields replaced, on the wire. */
function spoiled(change: object): Uint8Array {
  const { $typeName: _, ...good } = batchInit({ sequence: 1, samples: [[1, 1]] });
  const init = { ...good, ...change } as MessageInitShape<typeof TelemetryBatchSchema>;
  return toBinary(TelemetryBatchSchema, create(TelemetryBatchSchema, init));
}

describe('a message', () => {
  test('in order is accepted with all its samples', () => {
    const harness = createHarness();
    harness.send({
      sequence: 1,
      samples: [
        [1, 0.5],
        [2, 0.6],
      ],
    });
    expect(harness.samples()).toEqual(accepted(2));
    expect(harness.messages()).toEqual(accepted(1));
    expect(harness.fold.deadLetters).toEqual([]);
  });

  test('sent twice is a duplicate with all its samples', () => {
    const harness = createHarness();
    for (let i = 0; i < 3; i++)
      harness.send({
        sequence: 1,
        samples: [
          [1, 0.5],
          [2, 0.6],
        ],
      });
    expect(harness.samples()).toEqual(counts({ [ACCEPTED]: 2, [DUPLICATE]: 4 }));
    expect(harness.messages()).toEqual(counts({ [ACCEPTED]: 1, [DUPLICATE]: 2 }));
  });

  test('of the same number in another epoch, source or stream is not a duplicate', () => {
    const harness = createHarness();
    harness.send({ sequence: 1, samples: [[1, 1]] });
    harness.send({ sequence: 1, epoch: 2, samples: [[1, 1]] });
    harness.send({ sequence: 1, source: 'other', samples: [[1, 1]] });
    expect(harness.samples()).toEqual(accepted(3));
  });

  test('of an epoch older than the two remembered is too old', () => {
    const harness = createHarness();
    for (const epoch of [1, 2, 3]) harness.send({ epoch, sequence: 1, samples: [[1, 1]] });
    harness.send({ epoch: 2, sequence: 2, samples: [[1, 1]] });
    harness.send({
      epoch: 1,
      sequence: 2,
      samples: [
        [1, 1],
        [2, 2],
      ],
    });
    expect(harness.samples()).toEqual(counts({ [ACCEPTED]: 4, [TOO_OLD]: 2 }));
    expect(harness.fold.deadLetters).toMatchObject([
      { reasons: 'SEQUENCE_TOO_OLD=2', whole: true, sequence: 5 },
    ]);
  });

  test('4,096 numbers behind the highest is too old, 4,095 is not', () => {
    const harness = createHarness();
    harness.send({ sequence: 5000, samples: [[1, 1]] });
    harness.send({ sequence: 5000 - 4095, samples: [[1, 1]] });
    harness.send({ sequence: 5000 - 4096, samples: [[1, 1]] });
    expect(harness.messages()).toEqual(counts({ [ACCEPTED]: 2, [TOO_OLD]: 1 }));
  });

  test('without samples is accepted, and rejected when its time lies in the future', () => {
    const harness = createHarness();
    harness.send({ sequence: 1, baseSeconds: 5 }, 5);
    harness.send({ sequence: 2, baseSeconds: 36, endOfInput: true }, 5);
    expect(harness.messages()).toEqual(counts({ [ACCEPTED]: 1, [FUTURE]: 1 }));
    expect(harness.samples()).toEqual(counts({}));
  });

  test('of a third epoch calls the holes of the first gaps, even before any event time', () => {
    const harness = createHarness();
    for (const epoch of [1, 2, 3])
      harness.send({ epoch, sequence: 3, baseSeconds: 7, samples: [[7, Number.NaN]] });
    expect(harness.stream.found).toEqual([
      { sourceId: 'agent', epoch: 1, first: 1, last: 2, detectedAtMs: START_MS + 7_000 },
    ]);
    expect(harness.stream.gaps).toEqual({ open: 1, missing: 2, closed: 0 });
  });

  test.each([
    ['without a source', { source: '' }, /source_id/],
    ['with a source of 129 characters', { source: 'x'.repeat(129) }, /source_id/],
    ['with a sequence and no epoch', { sequence: 1, epoch: 0 }, /epoch/],
    ['with a metric without a name', { sequence: 1, samples: [[1, 1, '']] }, /name/],
    ['with a metric of 129 characters', { sequence: 1, samples: [[1, 1, 'x'.repeat(129)]] }, /name/],
    ['with a unit of 33 characters', { sequence: 1, samples: [[1, 1]], unit: 'x'.repeat(33) }, /unit/],
    ['with an unknown kind', { sequence: 1, samples: [[1, 1]], kind: 9 as never }, /kind/],
  ] satisfies [string, BatchInit, RegExp][])('%s is malformed', (_name, init, detail) => {
    const harness = createHarness();
    harness.send({ ...init } as BatchInit);
    expect(harness.messages()).toEqual(counts({ [MALFORMED]: 1 }));
    expect(harness.samples()).toEqual(counts({}));
    expect(harness.fold.deadLetters[0]!.detail).toMatch(detail);
  });

  test('that is no batch at all is malformed and kept', () => {
    const harness = createHarness();
    for (const payload of ['', 'cpu=1', '{"metrics":', '[1]', '\u0000', '{"metrics":{"cpu":"high"}}'])
      harness.sendRaw(payload);
    expect(harness.messages()).toEqual(counts({ [MALFORMED]: 6 }));
    expect(harness.fold.deadLetters.map((letter) => letter.reasons)).toEqual(
      new Array(6).fill('MALFORMED=1'),
    );
    expect(Buffer.from(harness.fold.deadLetters[1]!.payload).toString()).toBe('cpu=1');
  });

  test('rejected is kept with at most 64 KiB of it', () => {
    const harness = createHarness();
    harness.sendRaw('x'.repeat(100_000));
    expect(harness.fold.deadLetters[0]!.payload).toHaveLength(65_536);
  });

  test('that is not of its subject is rejected with all its samples', () => {
    const harness = createHarness();
    harness.sendRaw(
      encodeBatch({
        sequence: 1,
        samples: [
          [1, 1],
          [2, 2],
        ],
      }),
      subjectOf('n2'),
    );
    harness.sendRaw(encodeBatch({ sequence: 1, samples: [[1, 1]] }), 'homeostat.telemetry.v1.lab.east.n1');
    expect(harness.samples()).toEqual(counts({ [MISMATCH]: 2 }));
    expect(harness.fold.deadLetters[0]).toMatchObject({
      detail: 'it says lab, west, n1',
      reasons: 'SUBJECT_MISMATCH=2',
    });
    expect(harness.fold.streams.get('lab.east')!.samplesPending).toEqual(counts({ [MISMATCH]: 1 }));
  });

  test('on a subject that names no node or no stream is malformed and accounted for', () => {
    const harness = createHarness();
    const batch = encodeBatch({ sequence: 1, samples: [[1, 1]] });
    harness.sendRaw(batch, 'homeostat.telemetry.v1.lab.west.a=ZZ');
    harness.sendRaw(batch, 'homeostat.telemetry.v1.lab.west.=21');
    harness.sendRaw(batch, 'homeostat.telemetry.v1.la=20b.west.n1');
    expect(harness.messages()).toEqual(counts({ [MALFORMED]: 2 }));
    expect(harness.fold.streams.get('.')!.messagesPending).toEqual(counts({ [MALFORMED]: 1 }));
  });

  test.each([
    ['domain', 'domain is missing'],
    ['cluster', 'cluster is missing'],
    ['node', 'node is missing'],
    ['baseTime', 'base_time is missing'],
  ] as const)('in wire format without its %s is malformed', (field, detail) => {
    const harness = createHarness();
    harness.sendRaw(spoiled({ [field]: undefined }));
    expect(harness.messages()).toEqual(counts({ [MALFORMED]: 1 }));
    expect(harness.fold.deadLetters[0]!.detail).toBe(detail);
  });

  test.each([
    ['nanoseconds beyond a second', { baseTime: { seconds: 0n, nanos: 1_000_000_000 } }, /base_time/],
    ['a time before the year 1', { baseTime: { seconds: -99_000_000_000n, nanos: 0 } }, /base_time/],
    ['257 metrics', { metrics: Array.from({ length: 257 }, (_, i) => ({ name: `m${i}` })) }, /256 metrics/],
    [
      '17 labels',
      { labels: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`l${i}`, ''])) },
      /16 labels/,
    ],
    ['lists of unequal length', { values: [1, 2] }, /differ in length: 1, 1, 2/],
  ])('in wire format with %s is malformed', (_name, change, detail) => {
    const harness = createHarness();
    harness.sendRaw(spoiled(change));
    expect(harness.messages()).toEqual(counts({ [MALFORMED]: 1 }));
    expect(harness.fold.deadLetters[0]!.detail).toMatch(detail);
  });

  test('with a metric whose name is not UTF-8 is malformed, and its sequence is not taken', () => {
    const harness = createHarness();
    const wire = encodeBatch({ sequence: 1, samples: [[1, 1, 'cpu']] });
    wire[wire.indexOf(0x63)] = 0xff; // The c of cpu, after a source without one.
    harness.sendRaw(wire);
    harness.send({ sequence: 1, samples: [[1, 1, 'cpu']] });
    expect(harness.messages()).toEqual(counts({ [ACCEPTED]: 1, [MALFORMED]: 1 }));
  });

  test('of a stream beyond those the server may hold is malformed and accounted for', () => {
    const harness = createHarness();
    for (let i = 0; i < 110; i++)
      harness.sendRaw('{"metrics":{"cpu":1}}', `homeostat.telemetry.v1.lab.c${i}.n1`);
    expect(harness.fold.streams.size).toBe(102);
    expect(harness.fold.streams.get('.')!.messagesPending).toEqual(counts({ [MALFORMED]: 9 }));
    expect(harness.fold.deadLetters[0]!.detail).toMatch(/as many streams as it may/);
  });

  test('on a node with a dot in its name comes through', () => {
    const harness = createHarness();
    harness.send({ node: 'rack1.n_2-x', sequence: 1, samples: [[1, 1]] });
    expect(subjectOf('rack1.n_2-x')).toContain('rack1=2En_2-x');
    expect(harness.samples()).toEqual(accepted(1));
  });
});

describe('a bad sample rejects only itself:', () => {
  test('NaN and infinities', () => {
    const harness = createHarness();
    const samples = [
      [1, Number.NaN],
      [2, Number.POSITIVE_INFINITY],
      [3, 1],
      [4, Number.NEGATIVE_INFINITY],
    ] as const;
    harness.send({ sequence: 1, samples });
    harness.send({ sequence: 2, samples: [[5, Number.NaN]] });
    expect(harness.samples()).toEqual(counts({ [ACCEPTED]: 1, [NOT_FINITE]: 4 }));
    expect(harness.messages()).toEqual(counts({ [ACCEPTED]: 1, [NOT_FINITE]: 1 }));
    expect(harness.fold.deadLetters).toMatchObject([
      { reasons: 'NOT_FINITE=3', whole: false, detail: 'values[0] (cpu) is NaN' },
      { reasons: 'NOT_FINITE=1', whole: true },
    ]);
  });

  test("an event time more than 30 s past the broker's stamp", () => {
    const harness = createHarness();
    harness.send(
      {
        sequence: 1,
        samples: [
          [40, 1],
          [40.001, 1],
        ],
      },
      10,
    );
    expect(harness.samples()).toEqual(counts({ [ACCEPTED]: 1, [FUTURE]: 1 }));
    expect(harness.stream.watermark.newestMs).toBe(START_MS + 40_000);
  });

  test('a metric known with another unit or kind', () => {
    const harness = createHarness();
    harness.send({ sequence: 1, samples: [[1, 1]], unit: 'W' });
    harness.send({ sequence: 2, samples: [[2, 1]], unit: 'kW' });
    harness.send({
      sequence: 3,
      samples: [
        [3, 1],
        [3, 1, 'new'],
      ],
      unit: 'kW',
    });
    harness.send({ sequence: 4, samples: [[4, 1]], unit: 'W', kind: 2 });
    harness.send({ sequence: 5, samples: [[5, 1]], unit: 'W' });
    expect(harness.samples()).toEqual(counts({ [ACCEPTED]: 3, [UNIT_CHANGED]: 3 }));
    expect(harness.messages()).toEqual(counts({ [ACCEPTED]: 3, [UNIT_CHANGED]: 2 }));
  });

  test('a series beyond the limit of the stream', () => {
    const harness = createHarness({ seriesMax: 2 });
    harness.send({
      sequence: 1,
      samples: [
        [1, 1, 'a'],
        [1, 1, 'b'],
        [1, 1, 'c'],
        [2, 1, 'a'],
      ],
    });
    harness.send({ node: 'n2', source: 'other', sequence: 1, samples: [[1, 1, 'a']] });
    expect(harness.samples()).toEqual(counts({ [ACCEPTED]: 3, [SERIES]: 2 }));
    expect(harness.fold.deadLetters.map((letter) => letter.whole)).toEqual([false, true]);
  });

  test('metrics whose names would not fit into an event', () => {
    const harness = createHarness();
    for (let i = 0; i < 2000; i++)
      harness.send({ sequence: i + 1, samples: [[1, 1, `${'x'.repeat(120)}${i}`]] });
    const limited = harness.samples()[SERIES]!;
    expect(limited).toBeGreaterThan(400);
    expect(harness.samples()).toEqual(counts({ [ACCEPTED]: 2000 - limited, [SERIES]: limited }));
  });

  test('an index that points at no metric', () => {
    const harness = createHarness();
    const wire = encodeBatch({
      sequence: 1,
      samples: [
        [1, 1, 'a'],
        [2, 2, 'b'],
      ],
    });
    wire[wire.lastIndexOf(0x4a) + 3] = 7; // The second of two packed indices.
    harness.sendRaw(wire);
    expect(harness.samples()).toEqual(counts({ [ACCEPTED]: 1, [MALFORMED]: 1 }));
  });

  test('a late one stays in the raw stream alone', () => {
    const harness = createHarness();
    harness.send({
      sequence: 1,
      samples: [
        [5, 1],
        [25, 1],
      ],
    });
    harness.send({
      sequence: 2,
      samples: [
        [19.999, 1],
        [20, 1],
      ],
    });
    harness.send({ sequence: 3, samples: [[3, 1, 'never-seen']] });
    expect(harness.samples()).toEqual(counts({ [ACCEPTED]: 3, [LATE]: 2 }));
    expect(harness.messages()).toEqual(counts({ [ACCEPTED]: 2, [LATE]: 1 }));
    expect(harness.fold.deadLetters).toEqual([]);
    expect(harness.stream.catalog.seriesCount).toBe(1);
  });
});

test('whatever comes, everything offered is accounted for, in messages and in samples', () => {
  const value = fc.oneof({ weight: 8, arbitrary: fc.double({ noNaN: true }) }, fc.constant(Number.NaN));
  const sample = fc.tuple(fc.integer({ min: -20, max: 120 }), value, fc.constantFrom('a', 'b', 'c'));
  const batch = fc.record({
    source: fc.constantFrom('s1', 's2', ''),
    epoch: fc.integer({ min: 0, max: 4 }),
    sequence: fc.integer({ min: 0, max: 9 }),
    node: fc.constantFrom('n1', 'n2'),
    unit: fc.constantFrom('', '', 'W'),
    samples: fc.array(sample, { maxLength: 5 }),
    endOfInput: fc.boolean(),
    subject: fc.constantFrom('n1', 'n2'),
  });
  fc.assert(
    fc.property(fc.array(batch, { maxLength: 40 }), (batches) => {
      const harness = createHarness({ seriesMax: 4 });
      let samples = 0;
      for (const { subject, ...init } of batches) {
        harness.sendRaw(encodeBatch(init), subjectOf(subject), 60);
        const isReadable = init.source !== '' && (init.sequence === 0 || init.epoch > 0);
        if (isReadable) samples += init.samples.length;
      }
      expect(offered(harness.messages())).toBe(batches.length);
      expect(offered(harness.samples())).toBe(samples);
      const inWindows = harness.closed.reduce((sum, window) => sum + window.samples[ACCEPTED]!, 0);
      let open = 0;
      for (const window of harness.stream.windows)
        for (let row = 0; row < window.cellCount; row++) open += window.cells[row * 11 + 1]!;
      expect(inWindows + open).toBe(harness.samples()[ACCEPTED]);
      let letters = 0;
      for (const { reasons, whole } of harness.fold.deadLetters) {
        letters++;
        expect(reasons).toMatch(/^[A-Z_]+=\d+(,[A-Z_]+=\d+)*$/);
        expect(typeof whole).toBe('boolean');
      }
      const rejectedMessages = offered(harness.messages().slice(3));
      expect(letters).toBeGreaterThanOrEqual(rejectedMessages);
      expect(harness.fold.deadLetters.filter((letter) => letter.whole)).toHaveLength(rejectedMessages);
    }),
    { numRuns: 300 },
  );
});
