/** Snapshots of what was learned as bytes: there and back, the form of before, and in steps. */
import { createHash } from 'node:crypto';
import { serialize } from 'node:v8';
import { describe, expect, test } from '@jest/globals';
import { packSnapshot, unpackSnapshot } from '../../../src/energy/feedback/snapshot-store.ts';
import { Forecaster } from '../../../src/energy/forecast/forecaster.ts';
import { runThrough } from '../../../src/numeric/slices.ts';

const pack = (state: unknown) => runThrough(packSnapshot(state));

describe('energy.feedback a snapshot', () => {
  const forecaster = new Forecaster();
  const learned = () => {
    for (let at = forecaster.windows; at < 12; at++) {
      const cells = Float64Array.from({ length: 15 }, (_, cell) => Math.sin(cell + at));
      const map = { rows: 3, cols: 5, boundary: 'NEUMANN', layout: '1', conserves: false } as const;
      const time = { startMs: at * 1000, endMs: (at + 1) * 1000 };
      runThrough(forecaster.fold({ ...map, ...time, cells, observed: new Uint8Array(15).fill(1) }));
    }
    return forecaster.state();
  };

  test('is the state again, to the bit, wherever its bytes lie', () => {
    const state = learned();
    const { payload, digest } = pack(state);
    expect(Buffer.from(digest)).toEqual(createHash('sha256').update(payload).digest());
    for (const offset of [0, 1, 5]) {
      const moved = new Uint8Array(payload.length + offset);
      moved.set(payload, offset);
      expect(unpackSnapshot(moved.subarray(offset))).toEqual(state);
    }
    expect(unpackSnapshot(pack(unpackSnapshot(payload)).payload)).toEqual(state);
  });

  test('of before is read as it was written', () => {
    const state = learned();
    expect(unpackSnapshot(serialize(state))).toEqual(state);
  });

  test('holds what states hold: numbers that JSON has not, nothing, and one array in two places', () => {
    const array = Float32Array.of(Number.NaN, -0, 1);
    const part = new Float64Array([1, 2, 3, 4]).subarray(1, 3);
    const state = {
      a: [array, { b: array }],
      part,
      empty: new Uint8Array(0),
      not: Number.NaN,
      none: undefined,
    };
    const again = unpackSnapshot(pack(state).payload) as typeof state;
    expect(again).toEqual(state);
    expect(Object.hasOwn(again, 'none')).toBe(true);
    expect((again.a[1] as { b: Float32Array }).b).toBe(again.a[0]);
    expect(again.part.buffer.byteLength).toBe(16);
    expect(() => pack({ wrong: new Int8Array(1) })).toThrow(/a snapshot cannot hold Int8Array/);
  });

  test('is packed in steps of a quarter of a mebibyte', () => {
    const steps = packSnapshot({ large: new Float64Array(2 ** 19) });
    let paused = 0;
    while (!steps.next().done) paused++;
    expect(paused).toBeGreaterThanOrEqual(32);
  });
});
