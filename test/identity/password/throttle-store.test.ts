import { afterEach, beforeEach, expect, test } from '@jest/globals';
import {
  type Attempts,
  createAttempts,
  pruneThrottle,
  throttleMigrations,
} from '../../../src/identity/password/throttle-store.ts';
import type { Store } from '../../../src/store/store.ts';
import { createFakeClock, type FakeClock } from '../../support/fake-clock.ts';
import { describeOnStores, type TestDatabase } from '../../support/stores.ts';

const throttled = (retryAfterMs: number) => ({ reason: 'LOGIN_THROTTLED', retryAfterMs });

describeOnStores('attempts at passwords', (engine) => {
  let database: TestDatabase;
  let store: Store;
  let clock: FakeClock;
  let attempts: Attempts;
  let addresses = 0;

  /** From an address of its own, so that only the name is throttled. */
  const admit = (name: string, by = attempts) => by.admit(name, `10.0.0.${addresses++}`);
  const isAdmitted = (name: string, by = attempts) =>
    admit(name, by).then(
      () => true,
      (error) => {
        expect(error).toMatchObject({ reason: 'LOGIN_THROTTLED' });
        return false;
      },
    );
  const rows = async () => {
    const query = store.query<{ identity_throttle: { name_digest: string } }>();
    return query.selectFrom('identity_throttle').selectAll().execute();
  };

  beforeEach(async () => {
    database = await engine.createDatabase();
    store = await database.open(throttleMigrations);
    clock = createFakeClock();
    attempts = createAttempts({ store, clock });
  });
  afterEach(() => database.dispose());

  test('the sixth attempt at a name waits, and so does everybody else at that name', async () => {
    for (let i = 0; i < 5; i++) await admit('ada');
    await expect(admit('ada')).rejects.toMatchObject(throttled(1_000));
    await admit('bob');
    await clock.advance(999);
    await expect(admit('ada')).rejects.toMatchObject(throttled(1));
    await clock.advance(1);
    await admit('ada');
    await expect(admit('ada')).rejects.toMatchObject(throttled(2_000));
  });

  test('identity.A2 of 1,000 guesses in 15 minutes at most 14 are looked at, and the lock ends', async () => {
    let looked = 0;
    for (let i = 0; i < 1_000; i++) {
      if (await isAdmitted('ada')) looked++;
      await clock.advance(899);
    }
    expect(looked).toBe(14);
    await admit('bob');
    await clock.advance(15 * 60_000);
    for (let i = 0; i < 5; i++) await admit('ada');
  });

  test('identity.A2 any number of guesses at once are no better than one after the other, on two servers', async () => {
    const other = createAttempts({ store: await database.open(), clock });
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, i) => isAdmitted('ada', i % 2 === 0 ? attempts : other)),
    );
    expect(answers.filter(Boolean)).toHaveLength(5);
  });

  test('a right password forgives the failures before it', async () => {
    for (let i = 0; i < 5; i++) await admit('ada');
    await store.transact((tx) => attempts.forgive(tx, 'ada'));
    for (let i = 0; i < 5; i++) await admit('ada');
    await expect(admit('ada')).rejects.toMatchObject(throttled(1_000));
  });

  test('an address has 20 attempts in any minute', async () => {
    for (let i = 0; i < 20; i++) {
      await attempts.admit(`name-${i}`, '192.0.2.1');
      await clock.advance(1_000);
    }
    await expect(attempts.admit('name', '192.0.2.1')).rejects.toMatchObject(throttled(40_000));
    await attempts.admit('name', '192.0.2.2');
    await clock.advance(40_000);
    await attempts.admit('name', '192.0.2.1');
    await expect(attempts.admit('name', '192.0.2.1')).rejects.toMatchObject(throttled(1_000));
  });

  test('all addresses together have 50 attempts in any second', async () => {
    const answers = await Promise.all(Array.from({ length: 60 }, (_, i) => isAdmitted(`name-${i}`)));
    expect(answers.filter(Boolean)).toHaveLength(50);
    await expect(admit('name')).rejects.toMatchObject(throttled(1_000));
    await clock.advance(1_000);
    await admit('name');
  });

  test('a throttled attempt is not counted and stores nothing', async () => {
    for (let i = 0; i < 5; i++) await admit('ada');
    const before = await rows();
    for (let i = 0; i < 30; i++) expect(await isAdmitted('ada')).toBe(false);
    expect(await rows()).toEqual(before);
  });

  test('any text is a name, none is stored as it is, and rows go when they no longer count', async () => {
    for (const name of ['', 'a\0b', 'PASSWORD typed here', '𝒳'.repeat(63)]) await admit(name);
    expect(await rows()).toHaveLength(4);
    expect(JSON.stringify(await rows())).not.toContain('PASSWORD');
    await clock.advance(15 * 60_000 - 1);
    expect(await store.transact((tx) => pruneThrottle(tx, clock.nowMs()))).toBe(false);
    expect(await rows()).toHaveLength(4);
    await clock.advance(1);
    await store.transact((tx) => pruneThrottle(tx, clock.nowMs()));
    expect(await rows()).toHaveLength(0);
  });
});
