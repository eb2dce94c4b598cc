import type { DescMethod } from '@bufbuild/protobuf';
import { describe, expect, test } from '@jest/globals';
import { type Grid, GridSchema } from '../../src/gen/homeostat/type/v1/grid_pb.ts';
import { contractCodec } from '../../src/rpc/method.ts';
import { ProbeService, probeMessage } from './probe-contract.ts';

/** A message of type Free within another, `depth` messages in all. */
function nested(depth: number): Buffer {
  let bytes = Buffer.alloc(0);
  for (let i = 1; i < depth; i++) {
    const length = bytes.length < 128 ? [bytes.length] : [(bytes.length & 0x7f) | 0x80, bytes.length >> 7];
    bytes = Buffer.concat([Buffer.from([0x12, ...length]), bytes]);
  }
  return bytes;
}

describe('requests', () => {
  const method = { ...ProbeService.method['echo']!, input: probeMessage('Free') } as DescMethod;
  const { decode } = contractCodec(method, 1_000);

  test('may be 64 messages deep, and no deeper', () => {
    expect(decode(nested(64))).toBeDefined();
    expect(() => decode(nested(65))).toThrow(expect.objectContaining({ reason: 'MALFORMED' }));
  });

  test('lose the fields nobody knows', () => {
    expect(decode(Buffer.from([0x0a, 0x01, 0x61, 0x98, 0x06, 0x07]))).not.toHaveProperty('$unknown');
  });

  test('must be text where the contract says text', () => {
    expect(() => decode(Buffer.from([0x0a, 0x02, 0xc3, 0x28]))).toThrow(
      expect.objectContaining({ reason: 'MALFORMED' }),
    );
  });

  test('hold bytes whose slices are copies, though they arrive in a Buffer, whose are not', () => {
    const rules = { ...ProbeService.method['echo']!, input: GridSchema } as DescMethod;
    const grid = contractCodec(rules, 1_000).decode(Buffer.from([0x22, 0x02, 0x05, 0x06])) as Grid;
    expect(grid.rawValues.slice().buffer.byteLength).toBe(2);
  });
});
