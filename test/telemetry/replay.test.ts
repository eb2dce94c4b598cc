/** A crash at any message, restored from any checkpoint, leaves no trace: the same state and the same events. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  captureStream,
  readRuns,
  restoreStream,
  type StreamCapture,
} from '../../src/telemetry/fold/checkpoint.ts';
import { SILENCE_SOURCE, TelemetryFold, type TelemetryMessage } from '../../src/telemetry/fold/fold.ts';
import type { FoldSettings } from '../../src/telemetry/fold/stream.ts';
import { placeOf } from '../../src/telemetry/ingest.ts';
import { SILENCE_NODE } from '../../src/telemetry/silence.ts';
import { batchInit, createHarness, encodeBatch, SETTINGS, START_MS, subjectOf } from './messages.ts';

/** What is in SQL: rows as the last commits left them, and every event and dead letter ever written. */
class Disk {
  position = 0;
  readonly rows = new Map<string, { head: string; names: string; state: Uint8Array; sequence: number }>();
  readonly hashes: { minute: number; hashes: Float64Array }[] = [];
  readonly windows: unknown[] = [];
  readonly gaps: unknown[] = [];
  readonly letters = new Map<number, unknown>();
}

function open(disk: Disk, settings: FoldSettings): TelemetryFold {
  const fold = new TelemetryFold({ settings, streamsMax: 100, placeOf });
  for (const [key, row] of disk.rows) {
    const [domain = '', cluster = ''] = key.split('.');
    const stream = restoreStream({ domain, cluster, ...row }, settings);
    stream.appliedSequence = row.sequence;
    for (const { minute, hashes } of disk.hashes)
      if (minute >= stream.content.floorMinute) stream.content.restore(minute, hashes);
    fold.addStream(stream);
  }
  fold.lastSequence = disk.position;
  return fold;
}

function write(disk: Disk, fold: TelemetryFold, capture: StreamCapture): void {
  const key = `${capture.stream.domain}.${capture.stream.cluster}`;
  const names = capture.names ?? disk.rows.get(key)!.names;
  disk.rows.set(key, { head: capture.head, names, state: capture.state, sequence: fold.lastSequence });
  disk.hashes.push(...capture.content);
  disk.windows.push(...structuredClone(capture.closed));
  disk.gaps.push(...structuredClone(capture.found));
}

/** Restoring a row and capturing it at once gives the row. */
function expectFaithful(disk: Disk, settings: FoldSettings): void {
  for (const stream of open(disk, settings).streams.values()) {
    const row = disk.rows.get(`${stream.domain}.${stream.cluster}`)!;
    stream.capturedNames = '';
    const again = captureStream(stream);
    expect(again).toMatchObject({ head: row.head, names: row.names, content: [], closed: [], found: [] });
    expect(again.state).toEqual(row.state);
  }
}

function commit(disk: Disk, fold: TelemetryFold): void {
  for (const letter of fold.deadLetters) disk.letters.set(letter.sequence, structuredClone(letter));
  fold.deadLetters = [];
  for (const stream of fold.dirty) write(disk, fold, captureStream(stream));
  fold.dirty = [];
  disk.position = fold.lastSequence;
}

/** Runs the messages, committing at some and crashing at others; `undefined` crashes never. */
function run(
  messages: readonly TelemetryMessage[],
  settings: FoldSettings,
  plan?: ReadonlySet<number>[],
): Disk {
  const [commits, crashes] = plan ?? [new Set<number>(), new Set<number>()];
  const disk = new Disk();
  let fold = open(disk, settings);
  const crashed = new Set<number>();
  for (let i = 0; i < messages.length; i++) {
    fold.take(messages[i]!);
    if (commits!.has(i)) {
      commit(disk, fold);
      expectFaithful(disk, settings);
    }
    if (!crashes!.has(i) || crashed.has(i)) continue;
    crashed.add(i);
    fold = open(disk, settings);
    i = disk.position - 1; // The broker delivers from the acknowledged place on.
  }
  commit(disk, fold);
  return disk;
}

const value = fc.oneof(
  { weight: 9, arbitrary: fc.double({ noNaN: true, min: -1e6, max: 1e6 }) },
  fc.constant(Number.NaN),
);
const sample = fc.tuple(fc.integer({ min: -15, max: 5 }), value, fc.constantFrom('a', 'b', 'c', 'd'));
const step = fc.record({
  kind: fc.constantFrom('batch', 'batch', 'batch', 'batch', 'json', 'silence', 'garbage'),
  source: fc.constantFrom('s1', 's2', 's3'),
  epoch: fc.oneof({ weight: 5, arbitrary: fc.constant(1) }, fc.integer({ min: 1, max: 4 })),
  jump: fc.oneof({ weight: 6, arbitrary: fc.constant(1) }, fc.integer({ min: -3, max: 6 })),
  node: fc.constantFrom('n1', 'n2', 'n3'),
  samples: fc.array(sample, { maxLength: 6 }),
  metricKind: fc.oneof({ weight: 9, arbitrary: fc.constant(1) }, fc.constantFrom(2, 3)),
  advance: fc.oneof(
    { weight: 9, arbitrary: fc.integer({ min: 0, max: 8 }) },
    fc.integer({ min: 30, max: 4000 }),
  ),
  endOfInput: fc.oneof({ weight: 30, arbitrary: fc.constant(false) }, fc.constant(true)),
  labels: fc.oneof(
    { weight: 4, arbitrary: fc.constant({}) },
    fc.constant({ 'homeostat.row': '1', 'homeostat.col': '1' }),
  ),
});
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

/** Turns steps into messages as the broker would hold them: event time advances, sequences mostly do. */
function messagesOf(steps: readonly Step[]): TelemetryMessage[] {
  const next = new Map<string, number>();
  let atSeconds = 20;
  return steps.map((one, i) => {
    atSeconds += one.advance;
    const key = `${one.source}/${one.epoch}`;
    const sequence = Math.max(0, (next.get(key) ?? 0) + one.jump);
    next.set(key, Math.max(sequence, next.get(key) ?? 0));
    const base = { subject: subjectOf(one.node), sequence: i + 1, receivedAtMs: START_MS + atSeconds * 1000 };
    const samples = one.samples.map(([at, v, metric]) => [atSeconds + at, v, metric] as const);
    const encoder = new TextEncoder();
    if (one.kind === 'garbage') return { ...base, data: encoder.encode('not a batch') };
    if (one.kind === 'json') {
      const time = START_MS + (atSeconds - (atSeconds % 7)) * 1000;
      return { ...base, data: encoder.encode(JSON.stringify({ time, metrics: { a: one.jump } })) };
    }
    if (one.kind === 'silence') {
      const data = encodeBatch({
        source: SILENCE_SOURCE,
        node: SILENCE_NODE,
        epoch: 0,
        baseSeconds: atSeconds,
      });
      return { ...base, subject: subjectOf(SILENCE_NODE), data };
    }
    const { source, epoch, node, endOfInput, labels } = one;
    const kind = one.metricKind as never;
    return {
      ...base,
      data: encodeBatch({
        source,
        epoch,
        sequence,
        node,
        endOfInput,
        labels,
        kind,
        samples,
        baseSeconds: atSeconds,
      }),
    };
  });
}

describe('a replay after a crash', () => {
  test('ends in the same state, windows, gaps and dead letters, wherever commits and crashes fall', () => {
    const settings = { ...SETTINGS, seriesMax: 9, memoryMs: 3_600_000 };
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 1, maxLength: 80 }),
        fc.uniqueArray(fc.nat(79), { maxLength: 20 }),
        fc.uniqueArray(fc.nat(79), { maxLength: 8 }),
        (steps, commits, crashes) => {
          const messages = messagesOf(steps);
          const calm = run(messages, settings);
          const rough = run(messages, settings, [new Set(commits), new Set(crashes)]);
          expect([...rough.rows.keys()].sort()).toEqual([...calm.rows.keys()].sort());
          for (const [key, row] of calm.rows) {
            const other = rough.rows.get(key)!;
            expect(JSON.parse(other.head)).toEqual(JSON.parse(row.head));
            expect(JSON.parse(other.names)).toEqual(JSON.parse(row.names));
            expect(new Float64Array(other.state.buffer)).toEqual(new Float64Array(row.state.buffer));
          }
          expect(rough.windows).toEqual(calm.windows);
          expect(rough.gaps).toEqual(calm.gaps);
          expect(rough.letters).toEqual(calm.letters);
        },
      ),
      { numRuns: 250 },
    );
  });

  test('at every single message of one recording is the same', () => {
    const steps = fc.sample(step, { seed: 7, numRuns: 60 });
    const messages = messagesOf(steps);
    const calm = run(messages, SETTINGS);
    const everywhere = new Set(messages.keys());
    const rough = run(messages, SETTINGS, [everywhere, everywhere]);
    expect(rough.windows).toEqual(calm.windows);
    expect(rough.windows.length).toBeGreaterThan(5);
    expect(rough.rows.get('lab.west')!.state).toEqual(calm.rows.get('lab.west')!.state);
  });

  test('passes over messages that the checkpoint covers and that come again', () => {
    const messages = messagesOf(fc.sample(step, { seed: 3, numRuns: 30 }));
    const disk = run(messages, SETTINGS);
    const fold = open(disk, SETTINGS);
    fold.lastSequence = 0; // The broker goes further back than the checkpoint.
    const before = JSON.stringify([...disk.rows.values()].map((row) => row.head));
    for (const message of messages) fold.take(message);
    expect(fold.dirty).toEqual([]);
    commit(disk, fold);
    expect(JSON.stringify([...disk.rows.values()].map((row) => row.head))).toBe(before);
  });
});

describe('a checkpoint', () => {
  test('writes names only when they changed', () => {
    const harness = createHarness();
    harness.send({ sequence: 1, samples: [[1, 1]] });
    expect(captureStream(harness.stream).names).toBeDefined();
    harness.send({ sequence: 2, samples: [[2, 1]] });
    expect(captureStream(harness.stream).names).toBeUndefined();
    harness.send({ sequence: 3, samples: [[3, 1, 'new']] });
    expect(captureStream(harness.stream).names).toContain('new');
  });

  test('hands over what changed and lets the fold go on', () => {
    const harness = createHarness();
    harness.send({ sequence: 1, samples: [[1, 1]] });
    const capture = captureStream(harness.stream);
    const state = capture.state.slice();
    harness.send({ sequence: 2, samples: [[2, 5]] });
    expect(capture.state).toEqual(state);
    const [entry] = capture.sequences;
    entry!.run.committed(entry!.highest, entry!.holes);
    expect([1, 2].map((sequence) => entry!.run.knewAtCommit(sequence))).toEqual([true, false]);
  });

  test('keeps what a source lost for good', () => {
    const harness = createHarness();
    harness.send({ sequence: 3, samples: [[1, 1]] });
    harness.send({ sequence: 4, samples: [[40, 1]] });
    harness.send({ sequence: 9000, samples: [[41, 1]] });
    harness.send({ sequence: 9001, samples: [[80, 1]] });
    const { head, names, state } = captureStream(harness.stream);
    const stream = restoreStream({ domain: 'lab', cluster: 'west', head, names: names!, state }, SETTINGS);
    expect(stream.sources.runs[0]!.sequences).toMatchObject({ lost: 2, highest: 9001 });
    expect(stream.sources.runs[0]!.sequences.missing()).toBe(2 + 8995);
    expect(stream.gaps).toEqual({ open: 2, missing: 2 + 8995, closed: 0 });
  });

  test('hands over the hashes of messages without a sequence once', () => {
    const harness = createHarness();
    harness.sendRaw(`{"time":${START_MS},"metrics":{"cpu":1}}`);
    expect(captureStream(harness.stream).content).toMatchObject([{ minute: START_MS / 60_000 }]);
    harness.sendRaw(`{"time":${START_MS},"metrics":{"cpu":1}}`);
    expect(captureStream(harness.stream).content).toEqual([]);
  });

  test('lists the sources without restoring the stream', () => {
    const harness = createHarness();
    harness.send({ source: 'a', sequence: 4, samples: [[1, 1]] });
    harness.send({ source: 'b', epoch: 9, sequence: 1, samples: [[1, 1]] });
    const { head, names, state } = captureStream(harness.stream);
    const runs = readRuns({ domain: 'lab', cluster: 'west', head, names: names!, state });
    expect(runs).toMatchObject([
      { sourceId: 'a', epoch: 1 },
      { sourceId: 'b', epoch: 9 },
    ]);
    expect(runs.map((one) => one.sequences.missing())).toEqual([3, 0]);
  });

  test('of another format is refused', () => {
    const harness = createHarness();
    harness.send({ sequence: 1, samples: [[1, 1]] });
    const { head, names, state } = captureStream(harness.stream);
    new Float64Array(state.buffer)[0] = 99;
    expect(() =>
      restoreStream({ domain: 'lab', cluster: 'west', head, names: names!, state }, SETTINGS),
    ).toThrow(/format 99/);
  });

  test('keeps a configuration that no window has met yet', () => {
    const harness = createHarness();
    harness.stream.configure(3, 60_000, 0);
    const { head, names, state } = captureStream(harness.stream);
    const stream = restoreStream({ domain: 'lab', cluster: 'west', head, names: names!, state }, SETTINGS);
    expect(stream.head).toMatchObject({ configVersion: 3, latenessMs: 0 });
    expect(stream.plan.widthMs).toBe(60_000);
    expect(batchInit({}).domain).toBe('lab');
  });
});
