import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { headers } from '@nats-io/transport-node';
import type { BusEvent, ConsumeOptions, Subscription } from '../../src/bus/bus.ts';
import { topics } from '../../src/bus/topics.ts';
import { AppError } from '../../src/errors.ts';
import type {
  SequenceGapDetected,
  SequenceGapDetectedSchema,
} from '../../src/gen/homeostat/telemetry/v1/telemetry_events_pb.ts';
import { until } from '../support/broker.ts';
import { createFakeClock, type FakeClock } from '../support/fake-clock.ts';
import { type BusWorld, openBusWorld, range } from './world.ts';

const topic = topics.sequenceGapDetected;
type Event = BusEvent<SequenceGapDetected>;

let clock: FakeClock;
let world: BusWorld;
let subscriptions: Subscription[];

beforeEach(async () => {
  clock = createFakeClock();
  world = await openBusWorld({ clock });
  subscriptions = [];
});

afterEach(async () => {
  for (const subscription of subscriptions) await subscription.stop();
  await world.dispose();
});

let recorded = 0;
/** Records events numbered from the last one on; their number is `firstMissing`. */
async function recordEvents(count: number, first = 0): Promise<void> {
  await world.store.transact(async (tx) => {
    for (let i = 0; i < count; i++)
      await world.bus.record(tx, topic, `${recorded++}`, {
        firstMissing: first + i,
        detectedAt: timestampFromMs(0),
      });
  });
}

async function consume(
  handle: (events: readonly Event[]) => Promise<void>,
  options: Partial<ConsumeOptions<typeof SequenceGapDetectedSchema>> = {},
): Promise<Subscription> {
  const subscription = await world.bus.consume({ topic, durable: 'test', handle, ...options });
  subscriptions.push(subscription);
  return subscription;
}

const numbers = (events: readonly Event[]) => events.map((event) => event.message.firstMissing);

/** Moves the clock in small steps until the condition holds, so that timers meet real messages. */
async function advanceUntil(condition: () => boolean | Promise<boolean>): Promise<void> {
  await until(async () => {
    await clock.advance(250);
    return condition();
  });
}

const deadEvents = async () => (await world.manager.streams.info('DEAD_LETTERS')).state.messages;
const ackFloor = async () => (await world.manager.consumers.info('EVENTS', 'test')).ack_floor.stream_seq;

describe('a consumer of recorded events', () => {
  test('gets every event in order, one call at a time, and acknowledges what it handled', async () => {
    await recordEvents(300);
    const got: number[] = [];
    let active = 0;
    let largest = 0;
    await consume(
      async (events) => {
        expect(++active).toBe(1);
        largest = Math.max(largest, events.length);
        await new Promise((resolve) => setImmediate(resolve));
        got.push(...numbers(events));
        active--;
      },
      { batchSize: 50 },
    );
    await recordEvents(200, 300);
    await until(() => got.length === 500);
    expect(got).toEqual(range(500));
    expect(largest).toBe(50);
    await until(async () => (await ackFloor()) === 500);
  });

  test('is told the id, the time, the place and the trace of an event', async () => {
    const got: Event[] = [];
    await consume(async (events) => void got.push(...events));
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    await world.store.transact((tx) => world.bus.record(tx, topic, 'k', { sourceId: 's' }, traceparent));
    await until(() => got.length === 1);
    expect(got[0]).toMatchObject({ sequence: 1, publishedAtMs: clock.nowMs(), traceparent });
    expect(got[0]!.message.sourceId).toBe('s');
    expect(got[0]!.id).toMatch(/^[0-9a-f-]{36}$/);
  });

  test('gets no event of another topic', async () => {
    const got: number[] = [];
    await consume(async (events) => void got.push(...numbers(events)));
    await world.store.transact((tx) => world.bus.record(tx, topics.energyMapUpdated, 'other', {}));
    await recordEvents(1);
    await until(() => got.length === 1);
    expect(await ackFloor()).toBeGreaterThan(0);
  });

  test('goes on where it was after a stop, without repeating what was acknowledged', async () => {
    const first: number[] = [];
    const subscription = await consume(async (events) => void first.push(...numbers(events)));
    await recordEvents(10);
    await until(async () => (await ackFloor()) === 10);
    await subscription.stop();
    await recordEvents(10, 10);
    const second: number[] = [];
    await consume(async (events) => void second.push(...numbers(events)));
    await until(() => second.length === 10);
    expect([...first, ...second]).toEqual(range(20));
  });

  test('gets again at once, in order, what a crash left unacknowledged', async () => {
    let entered = false;
    const neverDone = () => {
      entered = true;
      return new Promise<void>(() => {});
    };
    const crashed = await world.open();
    // A handler that never returns, on a connection that is then cut: a process that died in the middle.
    await crashed.consume({ topic, durable: 'test', batchSize: 8, handle: neverDone });
    await recordEvents(30);
    await until(() => entered);
    await world.close(crashed);
    const got: number[] = [];
    await consume(async (events) => void got.push(...numbers(events)));
    await until(() => got.length === 30);
    expect(got).toEqual(range(30));
  });

  test('gets a failed batch again after a pause, in order', async () => {
    await recordEvents(5);
    await until(async () => (await world.manager.streams.info('EVENTS')).state.messages === 5);
    const calls: number[][] = [];
    let failures = 2;
    await consume(async (events) => {
      calls.push(numbers(events));
      if (failures-- > 0) throw new Error('not yet');
    });
    await until(() => calls.length === 1);
    await clock.advance(999);
    expect(calls).toHaveLength(1);
    await advanceUntil(async () => (await ackFloor()) === 5);
    // The batch, then its first event alone, which failed once more, then the others.
    expect(calls).toEqual([[0, 1, 2, 3, 4], [0], [0], [1], [2], [3], [4]]);
    expect(await deadEvents()).toBe(0);
  });

  test('loses only the poisoned event, to the dead letters, with its reason', async () => {
    const handled: number[] = [];
    let tries = 0;
    await consume(async (events) => {
      if (numbers(events).includes(2)) {
        if (events.length === 1) tries++;
        throw new Error('indigestible\nindeed');
      }
      handled.push(...numbers(events));
    });
    await recordEvents(5);
    await advanceUntil(() => handled.length === 4);
    expect(handled).toEqual([0, 1, 3, 4]);
    expect(tries).toBe(5);
    const letter = await world.manager.streams.getMessage('DEAD_LETTERS', { seq: 1 });
    expect(letter!.subject).toBe('homeostat.bus.v1.dead_event.test-3');
    expect(letter!.header.get('homeostat-reasons')).toBe('HANDLER_FAILED');
    expect(letter!.header.get('homeostat-detail')).toBe('indigestible indeed');
    expect(letter!.header.get('ce-type')).toBe('homeostat.telemetry.v1.SequenceGapDetected');
    await until(async () => (await ackFloor()) === 5);
    expect(await world.metrics.exposition()).toContain(
      'homeostat_bus_messages_total{topic="sequence_gap_detected",outcome="dead_lettered"} 1',
    );
  });

  test('blames no event while something its handler needs is away', async () => {
    const down = new AppError({ domain: 'd', reason: 'STORE_DOWN', kind: 'UNAVAILABLE', message: 'down' });
    const handled: number[] = [];
    let failures = 20;
    await consume(async (events) => {
      if (failures-- > 0) throw down;
      handled.push(...numbers(events));
    });
    await recordEvents(3);
    await until(() => failures === 19);
    await until(async () => {
      await clock.advance(30_000);
      return handled.length === 3;
    });
    expect(handled).toEqual([0, 1, 2]);
    expect(await deadEvents()).toBe(0);
  });

  test('never sees what is no event; the dead letters do', async () => {
    const handled: number[] = [];
    await consume(async (events) => void handled.push(...numbers(events)));
    const made = headers();
    made.set('ce-id', 'x');
    made.set('ce-type', 'homeostat.telemetry.v1.SequenceGapDetected');
    made.set('ce-time', new Date(0).toISOString());
    const subject = 'homeostat.telemetry.v1.sequence_gap_detected.x';
    await recordEvents(1);
    await until(() => handled.length === 1);
    await world.nats.request(subject, new Uint8Array([0xff, 0xff]), { headers: made, timeout: 1_000 });
    await world.nats.request(subject, new Uint8Array(0), { timeout: 1_000 });
    await recordEvents(1, 1);
    await until(async () => (await ackFloor()) === 4);
    expect(handled).toEqual([0, 1]);
    expect(await deadEvents()).toBe(2);
    const letter = await world.manager.streams.getMessage('DEAD_LETTERS', { seq: 1 });
    expect(letter!.header.get('homeostat-reasons')).toBe('MALFORMED');
  });

  test('goes on through a kill of the broker, in order and without loss', async () => {
    const got: number[] = [];
    await consume(async (events) => {
      await new Promise((resolve) => setImmediate(resolve));
      got.push(...numbers(events));
    });
    await recordEvents(500);
    await until(() => got.length > 100);
    await world.broker.restart();
    await recordEvents(100, 500);
    await until(() => new Set(got).size === 600);
    // A repeat is allowed where the broker lost an acknowledgement; a step ahead over something unseen is not.
    let highest = -1;
    for (const number of got) {
      expect(number).toBeLessThanOrEqual(highest + 1);
      highest = Math.max(highest, number);
    }
  });

  test('reads a stream made anew from its start', async () => {
    const got: number[] = [];
    await consume(async (events) => void got.push(...numbers(events)));
    await recordEvents(3);
    await until(() => got.length === 3);
    await world.manager.streams.delete('EVENTS');
    await recordEvents(1, 3);
    await advanceUntil(() => got.includes(3));
    expect(got).toEqual([0, 1, 2, 0, 1, 2, 3]);
  });

  test('asks for no more while its handler is slow', async () => {
    let release: () => void = () => {};
    let handled = 0;
    await consume(
      async (events) => {
        await new Promise<void>((resolve) => {
          release = resolve;
        });
        handled += events.length;
      },
      { batchSize: 10 },
    );
    await recordEvents(500);
    const delivered = async () => (await world.manager.consumers.info('EVENTS', 'test')).delivered.stream_seq;
    await until(async () => (await delivered()) >= 10);
    await world.nats.flush();
    expect(await delivered()).toBeLessThanOrEqual(30);
    await until(() => {
      release();
      return handled === 500;
    });
  });

  test('keeps the events for a consumer that does not exist yet', async () => {
    await recordEvents(3);
    await until(async () => (await world.manager.streams.info('EVENTS')).state.messages === 3);
    const got: number[] = [];
    await consume(async (events) => void got.push(...numbers(events)));
    await until(() => got.length === 3);
  });

  test('finishes the running handler before it has stopped', async () => {
    let release: () => void = () => {};
    let finished = false;
    const subscription = await consume(async () => {
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      finished = true;
    });
    await recordEvents(1);
    await until(async () => (await world.manager.consumers.info('EVENTS', 'test')).num_ack_pending === 1);
    const stopping = subscription.stop();
    release();
    await stopping;
    expect(finished).toBe(true);
    expect(clock.pending()).toBeLessThanOrEqual(4); // The bus's own: sweep, prune, acknowledgements, at most one pull.
  });
});
