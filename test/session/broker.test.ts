/** Session on a real broker: the level arrives through the stream, changes and refusals leave as events. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { busMigrations } from '../../src/bus/open.ts';
import { topics } from '../../src/bus/topics.ts';
import { SessionState } from '../../src/gen/homeostat/session/v1/session_service_pb.ts';
import { sessionMigrations } from '../../src/session/context.ts';
import { findLevel } from '../../src/session/store.ts';
import { openTestBus, type TestBus, until } from '../support/broker.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { openTestStore, type TestStore } from '../support/stores.ts';
import { createSessionWorld, levelEvent, type SessionWorld } from './session-world.ts';

describe('session on a broker', () => {
  let database: TestStore;
  let broker: TestBus;
  let world: SessionWorld;
  const open = () => createSessionWorld({ store: database.store, clock: createFakeClock(), bus: broker.bus });
  const announceLevel = (level: number, sequence: number) =>
    database.store.transact((tx) => {
      const { message } = levelEvent(level, { sequence, recordedAtMs: sequence });
      return broker.bus.record(tx, topics.defenseLevelChanged, `fleet.${sequence}`, message);
    });
  const levelIs = (level: number) => until(async () => (await findLevel(database.store)).level === level);

  beforeEach(async () => {
    database = await openTestStore([...busMigrations, ...sessionMigrations]);
    broker = await openTestBus({ store: database.store });
    world = open();
    await world.started.start();
  });
  afterEach(async () => {
    await world.started.stop();
    await broker.dispose();
    await database.dispose();
  });

  test('a raised level refuses, a lowered one admits, and a level announced while away is caught up with', async () => {
    const create = (idempotencyKey: string) => world.as('ada').create({ idempotencyKey, name: 'work' });
    await announceLevel(4, 1);
    await levelIs(4);
    await expect(create('a')).rejects.toMatchObject({ metadata: { cause: 'DEFENSE_LEVEL', level: '4' } });
    await announceLevel(1, 2);
    await levelIs(1);
    await create('a');
    await world.started.stop();
    await announceLevel(5, 3);
    world = open();
    await world.started.start();
    await levelIs(5);
    await expect(create('b')).rejects.toMatchObject({ metadata: { cause: 'DEFENSE_LEVEL', level: '5' } });
  });

  test('changes are delivered once each and in order, refusals to who listens', async () => {
    const changes: { id: string; state: SessionState; from: SessionState }[] = [];
    const refused: string[] = [];
    const consumer = await broker.bus.consume({
      topic: topics.sessionStateChanged,
      durable: 'test-session-changes',
      handle: async (events) => {
        for (const { id, message } of events)
          changes.push({ id, state: message.session!.state, from: message.fromState });
      },
    });
    const listener = broker.bus.subscribe(topics.sessionRefused, ({ message }) =>
      refused.push(message.owner),
    );
    const { sessionId } = await world.as('ada').create({ idempotencyKey: 'a', name: 'work' });
    await world.as('ada').cancel({ sessionId });
    await announceLevel(5, 1);
    await levelIs(5);
    await expect(world.as('eve').create({ idempotencyKey: 'e', name: 'work' })).rejects.toMatchObject({
      reason: 'ADMISSION_REFUSED',
    });
    await until(() => changes.length === 2 && refused.length === 1);
    const { CREATED, CANCELLED, UNSPECIFIED } = SessionState;
    expect(changes).toMatchObject([
      { state: CREATED, from: UNSPECIFIED },
      { state: CANCELLED, from: CREATED },
    ]);
    expect(new Set(changes.map((change) => change.id)).size).toBe(2);
    expect(refused).toEqual(['eve']);
    await listener.stop();
    await consumer.stop();
  });
});
