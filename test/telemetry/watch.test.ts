/** What a watcher sees when nothing comes, or what it wants is gone, without a broker. */
import { create } from '@bufbuild/protobuf';
import { expect, test } from '@jest/globals';
import { type Bus, type RawMessage, TelemetryTooOldError } from '../../src/bus/bus.ts';
import { WatchRequestSchema } from '../../src/gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { placeOf } from '../../src/telemetry/ingest.ts';
import { type WatchDeps, watchStream } from '../../src/telemetry/watch.ts';
import { createFakeClock, settle } from '../support/fake-clock.ts';
import { encodeBatch, START_MS, subjectOf } from './messages.ts';

/** A stream of messages pushed by hand. */
function createFeed(clock = createFakeClock()) {
  const asked: (number | undefined)[] = [];
  let push = (_message: RawMessage) => {};
  let fail = (_error: unknown) => {};
  let wasClosed = false;
  const readTelemetry: Bus['readTelemetry'] = ({ startSequence }) => {
    asked.push(startSequence);
    return (async function* () {
      try {
        for (;;)
          yield await new Promise<RawMessage>((resolve, reject) => {
            push = resolve;
            fail = reject;
          });
      } finally {
        wasClosed = true;
      }
    })();
  };
  const deps: WatchDeps = { bus: { readTelemetry } as Bus, clock, placeOf, lastSequence: () => 41 };
  return {
    deps,
    clock,
    asked,
    push: (one: RawMessage) => push(one),
    fail: (e: unknown) => fail(e),
    closed: () => wasClosed,
  };
}

function watch(feed: ReturnType<typeof createFeed>, resumeToken = '', signal = new AbortController().signal) {
  const stream = { domain: 'lab', cluster: 'west' };
  const request = create(WatchRequestSchema, { stream, resumeToken });
  return watchStream(feed.deps, request, signal)[Symbol.asyncIterator]();
}

const message = (sequence: number): RawMessage => ({
  subject: subjectOf(),
  data: encodeBatch({ sequence, samples: [[1, 1]] }),
  sequence,
  receivedAtMs: START_MS,
});

test('a heartbeat comes after each 15 s of silence, with the place to resume from', async () => {
  const feed = createFeed();
  const call = watch(feed);
  const first = call.next();
  await settle();
  await feed.clock.advance(15_000);
  expect((await first).value).toEqual({ resumeToken: '41' });
  const second = call.next();
  await settle();
  await feed.clock.advance(14_999);
  feed.push(message(50));
  expect((await second).value).toMatchObject({ resumeToken: '50', batch: { sequence: 50 } });
  const third = call.next();
  await settle();
  await feed.clock.advance(15_000);
  expect((await third).value).toEqual({ resumeToken: '50' });
  expect(feed.asked).toEqual([undefined]);
});

test('a place the broker no longer holds is refused with the oldest it does', async () => {
  const feed = createFeed();
  const next = watch(feed, '7').next();
  await settle();
  feed.fail(new TelemetryTooOldError(8, 100));
  await expect(next).rejects.toMatchObject({
    reason: 'RESUME_TOO_OLD',
    kind: 'FAILED_PRECONDITION',
    metadata: { oldest: '100', asked: '8' },
  });
  expect(feed.asked).toEqual([8]);
  expect(feed.closed()).toBe(true);
  expect(feed.clock.pending()).toBe(0);
});

test('what is no batch of a node is passed over', async () => {
  const feed = createFeed();
  const next = watch(feed).next();
  await settle();
  for (const odd of [
    { ...message(1), subject: 'homeostat.telemetry.v1.lab.west.=21' },
    { ...message(2), data: Uint8Array.from([0x0a, 0xff]) },
    { ...message(3), data: new TextEncoder().encode('{"metrics":5}') },
  ]) {
    feed.push(odd);
    await settle();
  }
  feed.push(message(4));
  expect((await next).value).toMatchObject({ resumeToken: '4' });
});
