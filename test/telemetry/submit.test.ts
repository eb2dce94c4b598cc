/** Batches handed in and watched over gRPC's side of the house, on a real broker. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  type BatchAckSchema,
  BatchOutcome,
  DurabilityClass,
  RejectReason,
  type TelemetryBatch,
} from '../../src/gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { SILENCE_SOURCE } from '../../src/telemetry/fold/fold.ts';
import { CREDIT } from '../../src/telemetry/submit-service.ts';
import { callOf } from '../support/calls.ts';
import { type BatchInit, batchInit, CLUSTER, DOMAIN, START_MS, subjectOf } from './messages.ts';
import { startTelemetryWorld, type TelemetryWorld } from './telemetry-world.ts';

const stream = { domain: DOMAIN, cluster: CLUSTER };

describe('batches handed in', () => {
  let world: TelemetryWorld;
  beforeAll(async () => {
    world = await startTelemetryWorld();
  });
  afterAll(() => world.stop());

  const submit = async (init: BatchInit) =>
    (await world.calls.submitBatch({ batch: batchInit(init) }, callOf())).ack as MessageInitShape<
      typeof BatchAckSchema
    >;

  test('one by one are stored, and told to be duplicates by what was committed', async () => {
    const first = await submit({ source: 'one', sequence: 1, samples: [[1, 1]] });
    expect(first).toMatchObject({
      sourceId: 'one',
      epoch: 1,
      sequence: 1,
      outcome: BatchOutcome.STORED,
      durabilityClass: DurabilityClass[world.bus.durability],
      credit: 64,
    });
    await world.telemetry.settled();
    await eventually(
      async () =>
        (await submit({ source: 'one', sequence: 1, samples: [[1, 1]] })).outcome === BatchOutcome.DUPLICATE,
    );
    expect((await submit({ source: 'one', sequence: 2, samples: [[1, 1]] })).outcome).toBe(
      BatchOutcome.STORED,
    );
    const { messages } = await eventually(
      () => world.calls.getIngestReport({ stream }),
      ({ messages }) => messages!.accepted === 2n,
    );
    expect(messages!.offered).toBe(messages!.accepted + messages!.duplicate);
  });

  test.each([
    ['lists of unequal length', (batch: TelemetryBatch) => void batch.values.push(1), /batch.metric_index/],
    [
      'an index of no metric',
      (batch: TelemetryBatch) => {
        batch.metricIndex[0] = 3;
      },
      /batch.metric_index\[0\]/,
    ],
    [
      'a time before the year 1',
      (batch: TelemetryBatch) => {
        batch.baseTime!.seconds = -1_000_000_000_000n;
      },
      /base_time/,
    ],
    [
      'nanoseconds beyond a second',
      (batch: TelemetryBatch) => {
        batch.baseTime!.nanos = 1e9;
      },
      /nanos/,
    ],
    [
      "the server's own source",
      (batch: TelemetryBatch) => {
        batch.sourceId = SILENCE_SOURCE;
      },
      /source_id/,
    ],
  ])('one by one are refused with %s', async (_name, spoil, path) => {
    const batch = batchInit({ source: 'bad', sequence: 1, samples: [[1, 1]] });
    spoil(batch);
    await expect(world.calls.submitBatch({ batch }, callOf())).rejects.toMatchObject({
      reason: 'FIELD_INVALID',
      message: expect.stringMatching(path),
    });
  });

  test('in a stream are answered in order, broken ones REJECTED with what is wrong and not offered', async () => {
    async function* requests() {
      for (let sequence = 1; sequence <= 100; sequence++)
        yield { batch: batchInit({ source: sequence === 50 ? '' : 'many', sequence, samples: [[2, 1]] }) };
      yield {};
    }
    const acks: MessageInitShape<typeof BatchAckSchema>[] = [];
    // A client that keeps to its credit: the next request only once the answer before came.
    for await (const { ack } of world.calls.ingest(
      paced(requests(), () => acks.length),
      callOf(),
    ))
      acks.push(ack!);
    expect(acks).toHaveLength(101);
    expect(acks.slice(0, 100).map((ack) => ack.sequence)).toEqual(
      Array.from({ length: 100 }, (_, i) => i + 1),
    );
    expect(acks[49]).toMatchObject({
      outcome: BatchOutcome.REJECTED,
      reason: RejectReason.MALFORMED,
      violations: ['source_id: is required'],
    });
    expect(acks[100]).toMatchObject({ outcome: BatchOutcome.REJECTED, violations: ['batch: is required'] });
    expect(acks.filter((ack) => ack.outcome === BatchOutcome.STORED)).toHaveLength(99);
  });

  test('beyond the credit end the call', async () => {
    const hold = new AbortController();
    async function* requests() {
      for (let sequence = 1; sequence <= CREDIT + 1; sequence++)
        yield { batch: batchInit({ source: 'greedy', sequence, samples: [[2, 1]] }) };
      await new Promise((resolve) => hold.signal.addEventListener('abort', resolve));
    }
    const call = world.calls.ingest(requests(), callOf())[Symbol.asyncIterator]();
    const outcome = (async () => {
      for (;;) if ((await call.next()).done) return;
    })();
    await expect(outcome).rejects.toMatchObject({ reason: 'CREDIT_EXCEEDED', metadata: { credit: '64' } });
    hold.abort();
  });

  test('of a call given up are answered no further', async () => {
    const given = new AbortController();
    async function* requests() {
      yield { batch: batchInit({ source: 'gone', sequence: 1, samples: [[2, 1]] }) };
      await new Promise((resolve) => given.signal.addEventListener('abort', resolve));
    }
    const call = world.calls.ingest(requests(), callOf({ signal: given.signal }))[Symbol.asyncIterator]();
    expect((await call.next()).value.ack).toMatchObject({ outcome: BatchOutcome.STORED });
    const next = call.next();
    given.abort();
    expect((await next).done).toBe(true);
  });

  test('fail with BROKER_DOWN when the broker cannot be reached', async () => {
    const other = await startTelemetryWorld();
    await other.bus.close();
    await expect(
      other.calls.submitBatch({ batch: batchInit({ sequence: 1, samples: [[1, 1]] }) }, callOf()),
    ).rejects.toMatchObject({
      domain: 'homeostat.telemetry',
      reason: 'BROKER_DOWN',
      kind: 'UNAVAILABLE',
      retryAfterMs: 1000,
    });
    expect(other.telemetry.services[0]!.unavailable!()).toEqual(['BROKER_DOWN']);
    await other.stop();
  });
});

describe('a watch', () => {
  let world: TelemetryWorld;
  beforeAll(async () => {
    world = await startTelemetryWorld();
  });
  afterAll(() => world.stop());

  const watch = (init: { metrics?: string[]; resumeToken?: string }, signal: AbortSignal) =>
    world.calls.watch({ stream, metrics: [], resumeToken: '', ...init }, callOf({ signal }));

  test('gives batches from its resume token on, as they were offered, less the metrics not asked for', async () => {
    const batches: BatchInit[] = [
      {
        sequence: 1,
        samples: [
          [1, 1, 'a'],
          [1, 2, 'b'],
          [2, 3, 'a'],
        ],
      },
      { sequence: 2, samples: [[3, 4, 'a']] },
      { sequence: 3, samples: [[4, 5, 'b']] },
    ];
    for (const init of batches) await world.calls.submitBatch({ batch: batchInit(init) }, callOf());
    await world.bus.publishTelemetry(subjectOf('n1'), new TextEncoder().encode('not a batch'));
    await world.bus.publishTelemetry(
      subjectOf('n9'),
      new TextEncoder().encode(`{"time":${START_MS},"metrics":{"b":7}}`),
    );
    const abort = new AbortController();
    const seen: { node: string; metrics: string[]; values: number[]; token: string }[] = [];
    for await (const { batch, resumeToken } of watch({ metrics: ['b'], resumeToken: '0' }, abort.signal)) {
      const { node, metrics, values } = batch as TelemetryBatch;
      seen.push({ node, metrics: metrics.map((metric) => metric.name), values, token: resumeToken! });
      if (seen.length === 3) abort.abort();
    }
    expect(seen).toEqual([
      { node: 'n1', metrics: ['b'], values: [2], token: '1' },
      { node: 'n1', metrics: ['b'], values: [5], token: '3' },
      { node: 'n9', metrics: ['b'], values: [7], token: '5' },
    ]);
    const again = new AbortController();
    for await (const { batch, resumeToken } of watch({ resumeToken: '1' }, again.signal)) {
      expect([(batch as TelemetryBatch).sequence, resumeToken]).toEqual([2, '2']);
      again.abort();
    }
  });

  test('refuses a token that is none', async () => {
    const call = watch({ resumeToken: 'yesterday' }, new AbortController().signal)[Symbol.asyncIterator]();
    await expect(call.next()).rejects.toMatchObject({ reason: 'FIELD_INVALID' });
  });
});

async function* paced<Item>(items: AsyncIterable<Item>, answered: () => number): AsyncIterable<Item> {
  let sent = 0;
  for await (const item of items) {
    yield item;
    sent++;
    await eventually(() => sent - answered() < CREDIT / 2);
  }
}

async function eventually<Answer>(
  ask: () => Promise<Answer> | Answer,
  done: (answer: Answer) => boolean = Boolean,
): Promise<Answer> {
  const endMs = performance.now() + 10_000;
  for (;;) {
    const answer = await ask();
    if (done(answer)) return answer;
    if (performance.now() > endMs) throw new Error(`still not so: ${done}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
