import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { type RawMessage, TelemetryTooOldError } from '../../src/bus/bus.ts';
import { telemetrySubject } from '../../src/bus/topics.ts';
import { until } from '../support/broker.ts';
import { type BusWorld, numberIn, openBusWorld, range } from './world.ts';

const subject = telemetrySubject('lab', 'west', 'n1');

let world: BusWorld;

beforeEach(async () => {
  world = await openBusWorld();
});

afterEach(() => world.dispose());

describe('reading telemetry beside the consumer', () => {
  const other = telemetrySubject('lab', 'east', 'n1');

  async function read(
    count: number,
    options: { filter: string; startSequence?: number },
  ): Promise<RawMessage[]> {
    const abort = new AbortController();
    const got: RawMessage[] = [];
    for await (const message of world.bus.readTelemetry({ ...options, signal: abort.signal })) {
      got.push(message);
      if (got.length === count) abort.abort();
    }
    return got;
  }

  test('gives the messages of a filter in order from a sequence on', async () => {
    await world.publishNumbers(subject, 3, 0);
    await world.publishNumbers(other, 2, 10);
    await world.publishNumbers(subject, 1_000, 20);
    const got = await read(1_001, { filter: subject, startSequence: 3 });
    expect(got.map((message) => message.sequence)).toEqual([3, ...range(1_006, 6)]);
    expect(got.map((message) => numberIn(message.data))).toEqual([2, ...range(1_020, 20)]);
    expect(
      (await read(2, { filter: 'homeostat.telemetry.v1.lab.east.*', startSequence: 1 })).map(
        (m) => m.subject,
      ),
    ).toEqual([other, other]);
  });

  test('gives only new messages without a sequence, and ends when the signal aborts', async () => {
    await world.publishNumbers(subject, 3);
    const reading = read(2, { filter: subject });
    await until(async () => (await world.manager.streams.info('TELEMETRY')).state.consumer_count === 1);
    await world.publishNumbers(subject, 2, 3);
    expect((await reading).map((message) => message.sequence)).toEqual([4, 5]);
    await until(async () => (await world.manager.streams.info('TELEMETRY')).state.consumer_count === 0);
  });

  test('says what the oldest is when the first wanted one is no longer held', async () => {
    await world.publishNumbers(subject, 10);
    await world.manager.streams.purge('TELEMETRY', { seq: 6 });
    const reading = read(1, { filter: subject, startSequence: 2 });
    await expect(reading).rejects.toBeInstanceOf(TelemetryTooOldError);
    await expect(reading).rejects.toMatchObject({ oldest: 6, asked: 2 });
  });

  test('ends at once with a signal that is aborted already', async () => {
    const got: RawMessage[] = [];
    for await (const message of world.bus.readTelemetry({ filter: subject, signal: AbortSignal.abort() }))
      got.push(message);
    expect(got).toEqual([]);
  });
});
