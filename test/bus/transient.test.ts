import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { BusEvent } from '../../src/bus/bus.ts';
import { topics } from '../../src/bus/topics.ts';
import { until } from '../support/broker.ts';
import { type BusWorld, openBusWorld } from './world.ts';

const topic = topics.sequenceGapDetected;

let world: BusWorld;

beforeEach(async () => {
  world = await openBusWorld();
});

afterEach(() => world.dispose());

async function recordEvents(count: number): Promise<void> {
  await world.store.transact(async (tx) => {
    for (let i = 0; i < count; i++) await world.bus.record(tx, topic, `${i}`, { firstMissing: i });
  });
}

describe('transient events', () => {
  test('reach who listens now, with their headers', async () => {
    const got: BusEvent<unknown>[] = [];
    const subscription = world.bus.subscribe(topics.sessionRefused, (event) => void got.push(event));
    const raw: string[] = [];
    world.nats.subscribe('homeostat.session.v1.session_refused.*', {
      callback: (_error, message) => void raw.push(`${message.subject} ${message.headers!.get('ce-source')}`),
    });
    await world.nats.flush();
    world.bus.publish(topics.sessionRefused, 'a b', {});
    world.bus.publish(topics.sessionRefused, 'a b', {});
    await until(() => got.length === 2 && raw.length === 2);
    expect(got[0]!.id).not.toBe(got[1]!.id);
    expect(got[0]!.sequence).toBe(0);
    expect(raw[0]).toBe('homeostat.session.v1.session_refused.a=20b /homeostat/session');
    await subscription.stop();
    world.bus.publish(topics.sessionRefused, 'x', {});
    await until(() => raw.length === 3);
    expect(got).toHaveLength(2);
  });

  test('are lost without harm when nobody listens', () => {
    expect(() => world.bus.publish(topics.sessionRefused, 'nobody', {})).not.toThrow();
  });

  test('recorded events reach those who only listen, too', async () => {
    const got: number[] = [];
    const subscription = world.bus.subscribe(topic, (event) => void got.push(event.message.firstMissing));
    await recordEvents(2);
    await until(() => got.length === 2);
    expect(got).toEqual([0, 1]);
    await subscription.stop();
  });

  test('a listener that throws harms nobody', async () => {
    const got: number[] = [];
    const failing = world.bus.subscribe(topic, () => {
      throw new Error('mine');
    });
    const sound = world.bus.subscribe(topic, (event) => void got.push(event.message.firstMissing));
    await recordEvents(2);
    await until(() => got.length === 2);
    await Promise.all([failing.stop(), sound.stop()]);
  });
});
