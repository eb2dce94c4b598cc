import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { telemetrySubject } from '../../src/bus/topics.ts';
import { until } from '../support/broker.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { type BusWorld, openBusWorld, range } from './world.ts';

const subject = telemetrySubject('lab', 'west', 'n1');

let world: BusWorld;

beforeEach(async () => {
  world = await openBusWorld();
});

afterEach(() => world.dispose());

describe('publishing telemetry', () => {
  test('resolves with the place in the stream, many at a time', async () => {
    const places = await Promise.all(
      range(1_000).map(() => world.bus.publishTelemetry(subject, new Uint8Array(1))),
    );
    expect(places).toEqual(range(1_001, 1));
  });

  test('is refused with a retry delay while the broker is away, and taken when it is back', async () => {
    const pending = Promise.allSettled(
      range(2_000).map(() => world.bus.publishTelemetry(subject, new Uint8Array(500))),
    );
    await world.broker.kill();
    for (const outcome of await pending)
      if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ reason: 'BROKER_DOWN' });
    await until(async () => {
      try {
        await world.bus.publishTelemetry(subject, new Uint8Array(1));
        return true;
      } catch (error) {
        expect(error).toMatchObject({
          domain: 'homeostat.edge',
          reason: 'BROKER_DOWN',
          kind: 'UNAVAILABLE',
          retryAfterMs: 1_000,
        });
        return false;
      }
    });
  });

  test('is refused beyond the bound of unacknowledged messages', async () => {
    // A clock that stands still: on a busy machine the broker may take longer than an acknowledgement is waited for.
    const bus = await world.open({ clock: createFakeClock() });
    process.kill(world.broker.pid(), 'SIGSTOP');
    try {
      const outcomes = range(32_769).map(() => bus.publishTelemetry(subject, new Uint8Array(1)));
      const others = Promise.allSettled(outcomes.slice(0, -1));
      await expect(outcomes.at(-1)).rejects.toMatchObject({
        reason: 'OVERLOADED',
        kind: 'RESOURCE_EXHAUSTED',
      });
      process.kill(world.broker.pid(), 'SIGCONT');
      expect((await others).every((outcome) => outcome.status === 'fulfilled')).toBe(true);
    } finally {
      process.kill(world.broker.pid(), 'SIGCONT');
    }
  });

  test('is refused when the stream has no room', async () => {
    await world.manager.streams.update('TELEMETRY', { discard: 'new', max_msgs: 1 });
    expect(await world.bus.publishTelemetry(subject, new Uint8Array(1))).toBe(1);
    await expect(world.bus.publishTelemetry(subject, new Uint8Array(1))).rejects.toMatchObject({
      domain: 'homeostat.edge',
      reason: 'STORAGE_FULL',
      kind: 'RESOURCE_EXHAUSTED',
    });
  });

  test('larger than the broker takes is a fault, and harms no other', async () => {
    const large = world.bus.publishTelemetry(subject, new Uint8Array(2 ** 20 + 1));
    await expect(large).rejects.toThrow(/max_payload/);
    expect(await world.bus.publishTelemetry(subject, new Uint8Array(2 ** 20))).toBe(1);
  });

  test('is refused when the stream is gone', async () => {
    await world.manager.streams.delete('TELEMETRY');
    await expect(world.bus.publishTelemetry(subject, new Uint8Array(1))).rejects.toMatchObject({
      reason: 'BROKER_DOWN',
    });
  });

  test('never loses a repeat to the duplicate window of the broker', async () => {
    const { config } = await world.manager.streams.info('TELEMETRY');
    expect(config.duplicate_window).toBe(100e6);
    const places = [
      await world.bus.publishTelemetry(subject, new Uint8Array(1)),
      await world.bus.publishTelemetry(subject, new Uint8Array(1)),
    ];
    expect(places).toEqual([1, 2]);
  });
});
