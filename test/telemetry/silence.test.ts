import { fromBinary } from '@bufbuild/protobuf';
import { timestampMs } from '@bufbuild/protobuf/wkt';
import { expect, test } from '@jest/globals';
import { TelemetryBatchSchema } from '../../src/gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { startSilenceWatch } from '../../src/telemetry/silence.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { silentLogger } from '../support/stores.ts';
import { createHarness, START_MS } from './messages.ts';

test('after 30 s of silence and each 10 s the server says so, until the windows are closed', async () => {
  const clock = createFakeClock(START_MS);
  const harness = createHarness();
  harness.send({ sequence: 1, samples: [[-1000, 1]] }, 0);
  let connected = true;
  const spoken: number[] = [];
  const watch = startSilenceWatch({
    clock,
    logger: silentLogger,
    silenceMs: 30_000,
    streams: () => [harness.stream],
    bus: {
      connected: () => connected,
      async publishTelemetry(subject, payload) {
        expect(subject).toBe('homeostat.telemetry.v1.lab.west.=21');
        const silence =
          (timestampMs(fromBinary(TelemetryBatchSchema, payload).baseTime!) - START_MS) / 1000 + 1000;
        spoken.push(silence);
        harness.sendRaw(payload, subject, (clock.nowMs() - START_MS) / 1000);
        return spoken.length;
      },
    },
  });
  await clock.advance(29_999);
  expect(spoken).toEqual([]);
  await clock.advance(1);
  expect(spoken).toEqual([30]);
  connected = false;
  await clock.advance(15_000);
  connected = true;
  await clock.advance(60_000);
  // The source falls out of the 60 s at 66 s at the latest; then its window closes and there is nothing to say.
  expect(spoken).toEqual([30, 46, 56, 66]);
  expect(harness.closed).toHaveLength(1);
  expect(watch.published()).toBe(4);
  expect(Array.from(harness.messages().slice(0, 1))).toEqual([1]);
  watch.stop();
  expect(clock.pending()).toBe(0);
});

test('a silence that cannot be published is tried again', async () => {
  const clock = createFakeClock(START_MS);
  const harness = createHarness();
  harness.send({ sequence: 1, samples: [[0, 1]] }, 0);
  let asked = 0;
  const watch = startSilenceWatch({
    clock,
    logger: silentLogger,
    silenceMs: 30_000,
    streams: () => [harness.stream],
    bus: {
      connected: () => true,
      async publishTelemetry() {
        asked++;
        throw new Error('the broker is away');
      },
    },
  });
  await clock.advance(50_000);
  expect(asked).toBe(3);
  expect(watch.published()).toBe(0);
  watch.stop();
});
