import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  type TelemetryBatch,
  TelemetryBatchSchema,
} from '../../src/gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { BatchDecoder, SAMPLES_MAX } from '../../src/telemetry/message/decode.ts';
import { spanText } from '../../src/telemetry/message/span.ts';
import { encodeBatch } from './messages.ts';

const decoder = new BatchDecoder();

/** What the decoder read, in the shape of the generated decoder's. */
function read(data: Uint8Array) {
  if (!decoder.decode(data)) return undefined;
  const d = decoder;
  return {
    sourceId: spanText(data, d.sourceFrom, d.sourceTo),
    domain: spanText(data, d.domainFrom, d.domainTo),
    cluster: spanText(data, d.clusterFrom, d.clusterTo),
    node: spanText(data, d.nodeFrom, d.nodeTo),
    epoch: d.epoch,
    sequence: d.sequence,
    base: d.hasBaseTime ? [d.baseSeconds, d.baseNanos] : undefined,
    endOfInput: d.endOfInput,
    metricIndex: Array.from(d.metricIndex.subarray(0, d.indexCount)),
    offsetMs: Array.from(d.offsetMs.subarray(0, d.offsetCount)),
    values: Array.from(d.values.subarray(0, d.valueCount)),
    metrics: fromBinary(TelemetryBatchSchema, data.subarray(d.metricsFrom, d.metricsTo)).metrics.map(
      plainMetric,
    ),
    labels: { ...fromBinary(TelemetryBatchSchema, data.subarray(d.labelsFrom, d.labelsTo)).labels },
  };
}

function plainMetric({ name, unit, kind }: { name: string; unit: string; kind: number }) {
  return { name, unit, kind };
}

function expected(batch: TelemetryBatch) {
  return {
    sourceId: batch.sourceId,
    domain: batch.domain,
    cluster: batch.cluster,
    node: batch.node,
    epoch: batch.epoch,
    sequence: batch.sequence,
    base: batch.baseTime && [Number(batch.baseTime.seconds), batch.baseTime.nanos],
    endOfInput: batch.endOfInput,
    metricIndex: batch.metricIndex,
    offsetMs: batch.offsetMs,
    values: batch.values,
    metrics: batch.metrics.map(plainMetric),
    labels: { ...batch.labels },
  };
}

const uint32 = fc.oneof(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 0, max: 0xffffffff }));
const sint32 = fc.oneof(
  fc.integer({ min: -200, max: 200 }),
  fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
);
const double = fc.oneof(fc.double(), fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, -0, 5e-324));
const seconds = fc.bigInt({ min: -62_135_596_800n, max: 253_402_300_799n });

/** One field written as some producer might: any order, repeated, packed or not, unknown ones between. */
const field: fc.Arbitrary<(writer: BinaryWriter) => void> = fc.oneof(
  fc.tuple(fc.constantFrom(1, 4, 5, 6), fc.string({ maxLength: 8, unit: 'grapheme' })).map(
    ([no, text]) =>
      (writer: BinaryWriter) =>
        void writer.tag(no, WireType.LengthDelimited).string(text),
  ),
  fc.tuple(fc.constantFrom(2, 3), uint32).map(
    ([no, value]) =>
      (writer: BinaryWriter) =>
        void writer.tag(no, WireType.Varint).uint32(value),
  ),
  fc
    .tuple(fc.option(seconds), fc.option(fc.integer({ min: 0, max: 999_999_999 })))
    .map(([at, nanos]) => (writer: BinaryWriter) => {
      writer.tag(7, WireType.LengthDelimited).fork();
      if (nanos !== null) writer.tag(2, WireType.Varint).int32(nanos);
      writer.tag(9, WireType.Varint).uint32(7);
      if (at !== null) writer.tag(1, WireType.Varint).int64(at);
      writer.join();
    }),
  fc.tuple(fc.string({ maxLength: 5 }), fc.string({ maxLength: 3 }), fc.nat(3)).map(
    ([name, unit, kind]) =>
      (writer: BinaryWriter) =>
        void writer
          .tag(8, WireType.LengthDelimited)
          .fork()
          .tag(1, WireType.LengthDelimited)
          .string(name)
          .tag(2, WireType.LengthDelimited)
          .string(unit)
          .tag(3, WireType.Varint)
          .int32(kind)
          .join(),
  ),
  uint32.map((value) => (writer: BinaryWriter) => void writer.tag(9, WireType.Varint).uint32(value)),
  fc.array(uint32, { maxLength: 9 }).map((values) => (writer: BinaryWriter) => {
    writer.tag(9, WireType.LengthDelimited).fork();
    for (const value of values) writer.uint32(value);
    writer.join();
  }),
  sint32.map((value) => (writer: BinaryWriter) => void writer.tag(10, WireType.Varint).sint32(value)),
  fc.array(sint32, { maxLength: 9 }).map((values) => (writer: BinaryWriter) => {
    writer.tag(10, WireType.LengthDelimited).fork();
    for (const value of values) writer.sint32(value);
    writer.join();
  }),
  double.map((value) => (writer: BinaryWriter) => void writer.tag(11, WireType.Bit64).double(value)),
  fc.array(double, { maxLength: 20 }).map((values) => (writer: BinaryWriter) => {
    writer.tag(11, WireType.LengthDelimited).fork();
    for (const value of values) writer.double(value);
    writer.join();
  }),
  fc.boolean().map((value) => (writer: BinaryWriter) => void writer.tag(12, WireType.Varint).bool(value)),
  fc.tuple(fc.string({ maxLength: 3 }), fc.string({ maxLength: 3 })).map(
    ([key, value]) =>
      (writer: BinaryWriter) =>
        void writer
          .tag(13, WireType.LengthDelimited)
          .fork()
          .tag(1, WireType.LengthDelimited)
          .string(key)
          .tag(2, WireType.LengthDelimited)
          .string(value)
          .join(),
  ),
  fc.constant((writer: BinaryWriter) => void writer.tag(99, WireType.Varint).uint64(2n ** 63n)),
  fc.constant((writer: BinaryWriter) => void writer.tag(1000, WireType.Bit32).fixed32(5)),
  fc.constant((writer: BinaryWriter) => void writer.tag(99, WireType.Bit64).double(5)),
  fc.constant(
    (writer: BinaryWriter) =>
      void writer
        .tag(50, WireType.StartGroup)
        .tag(51, WireType.StartGroup)
        .tag(1, WireType.Varint)
        .uint32(300)
        .tag(51, WireType.EndGroup)
        .tag(50, WireType.EndGroup),
  ),
);

function write(fields: readonly ((writer: BinaryWriter) => void)[]): Uint8Array {
  const writer = new BinaryWriter();
  for (const one of fields) one(writer);
  return writer.finish();
}

describe('the decoder of batches', () => {
  test('reads what the generated decoder reads, however it was written', () => {
    fc.assert(
      fc.property(fc.array(field, { maxLength: 20 }), (fields) => {
        const data = write(fields);
        expect(read(data)).toEqual(expected(fromBinary(TelemetryBatchSchema, data)));
      }),
      { numRuns: 400 },
    );
  });

  test('refuses every message the generated decoder refuses when it is cut short', () => {
    fc.assert(
      fc.property(fc.array(field, { minLength: 1, maxLength: 8 }), fc.nat(), (fields, at) => {
        const data = write(fields);
        const cut = data.slice(0, at % data.length);
        const got = read(cut);
        if (got === undefined) return;
        expect(got).toEqual(expected(fromBinary(TelemetryBatchSchema, cut)));
      }),
      { numRuns: 400 },
    );
  });

  test('accepts no damaged message as something else than the generated decoder', () => {
    fc.assert(
      fc.property(
        fc.array(field, { minLength: 1, maxLength: 6 }),
        fc.nat(),
        fc.nat(255),
        (fields, at, byte) => {
          const data = write(fields);
          data[at % data.length] = byte;
          if (!decoder.decode(data)) return;
          const { valueCount, sequence, epoch } = decoder;
          const { metricsFrom, metricsTo, labelsFrom, labelsTo } = decoder;
          let batch: TelemetryBatch;
          try {
            // Text, descriptors and labels are checked after the decoder, each within its own bytes; the generated decoder
            // lets a damaged descriptor reach into what follows it.
            fromBinary(TelemetryBatchSchema, data.subarray(metricsFrom, metricsTo));
            fromBinary(TelemetryBatchSchema, data.subarray(labelsFrom, labelsTo));
            batch = fromBinary(TelemetryBatchSchema, data);
          } catch {
            return;
          }
          expect([valueCount, sequence, epoch]).toEqual([batch.values.length, batch.sequence, batch.epoch]);
        },
      ),
      { numRuns: 400 },
    );
  });

  test('reads the largest batch', () => {
    const count = SAMPLES_MAX;
    const batch = create(TelemetryBatchSchema, {
      metricIndex: Array.from({ length: count }, (_, i) => i % 300),
      offsetMs: Array.from({ length: count }, (_, i) => i * 1000 - 4_000_000),
      values: Array.from({ length: count }, (_, i) => i / 7),
    });
    const data = toBinary(TelemetryBatchSchema, batch);
    expect(read(data)).toMatchObject({
      metricIndex: batch.metricIndex,
      offsetMs: batch.offsetMs,
      values: batch.values,
    });
  });

  test.each([
    ['values', { values: new Array(SAMPLES_MAX + 1).fill(1) }],
    ['metric indices', { metricIndex: new Array(SAMPLES_MAX + 1).fill(1) }],
    ['offsets', { offsetMs: new Array(SAMPLES_MAX + 1).fill(1) }],
  ])('refuses more %s than a batch may have', (_name, init) => {
    const data = toBinary(TelemetryBatchSchema, create(TelemetryBatchSchema, init));
    expect(decoder.decode(data)).toBe(false);
    expect(decoder.fault).toMatch(/8192 samples/);
  });

  test.each([
    ['a known field with a foreign wire type', [0x08, 0x01], /field 1 has a foreign wire type/],
    ['a foreign wire type inside base_time', [0x3a, 0x02, 0x0a, 0x00], /foreign wire type/],
    ['field number 0', [0x02, 0x00], /field number 0/],
    ['a tag over 32 bits', [0xff, 0xff, 0xff, 0xff, 0x7f], /32 bits/],
    ['an endless number', [0x10, ...new Array(10).fill(0xff), 0x01], /10 bytes/],
    ['an end of a group that never began', [0xa4, 0x01], /wire type 4/],
    ['a group ended as another', [0xa3, 0x01, 0xac, 0x01], /ends as another/],
    ['a nested length that overruns', [0x3a, 0x02, 0x08, 0x80], /ends in the middle/],
    ['half a double', [0x5a, 0x04, 0, 0, 0, 0], /whole doubles/],
    ['a double cut off', [0x59, 0, 0, 0], /ends in the middle/],
  ])('refuses %s', (_name, bytes, fault) => {
    expect(decoder.decode(Uint8Array.from(bytes))).toBe(false);
    expect(decoder.fault).toMatch(fault);
  });

  test('refuses groups nested without end', () => {
    const deep = Uint8Array.from(new Array(400).fill([0xa3, 0x01]).flat());
    expect(decoder.decode(deep)).toBe(false);
    expect(decoder.fault).toMatch(/nested too deep/);
  });

  test('forgets everything of the message before', () => {
    decoder.decode(encodeBatch({ sequence: 5, samples: [[0, 1]], endOfInput: true, labels: { a: 'b' } }));
    expect(decoder.decode(new Uint8Array(0))).toBe(true);
    expect(decoder).toMatchObject({
      sourceTo: 0,
      sequence: 0,
      hasBaseTime: false,
      endOfInput: false,
      metricCount: 0,
      labelCount: 0,
      valueCount: 0,
      indexCount: 0,
      offsetCount: 0,
    });
  });
});
