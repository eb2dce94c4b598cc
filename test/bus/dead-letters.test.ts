import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { telemetrySubject } from '../../src/bus/topics.ts';
import { until } from '../support/broker.ts';
import { type BusWorld, openBusWorld, range } from './world.ts';

const subject = telemetrySubject('lab', 'west', 'n1');

let world: BusWorld;

beforeEach(async () => {
  world = await openBusWorld();
});

afterEach(() => world.dispose());

describe('dead letters', () => {
  const letter = (sequence: number, to = subject) => ({
    sequence,
    subject: to,
    receivedAtMs: 1_700_000_000_000 + sequence,
    payload: Uint8Array.of(sequence),
    reasons: 'MALFORMED=1,NOT_FINITE=3',
    detail: `größer als erlaubt\nZeile ${sequence}`,
    whole: sequence % 2 === 0,
  });

  test('are listed in order, in pages, as they were written', async () => {
    await world.bus.writeDeadLetters(range(600).map((sequence) => letter(sequence)));
    const first = await world.bus.listDeadLetters({ after: 0, limit: 400 });
    const rest = await world.bus.listDeadLetters({ after: first.at(-1)!.place, limit: 400 });
    expect([...first, ...rest].map((one) => one.sequence)).toEqual(range(600));
    expect(await world.bus.listDeadLetters({ after: rest.at(-1)!.place, limit: 400 })).toEqual([]);
    expect(first[3]).toEqual({ ...letter(3), detail: 'größer als erlaubt Zeile 3', place: 4 });
  });

  test('are found by the beginning of their subject', async () => {
    const other = telemetrySubject('lab', 'east', 'n9');
    await world.bus.writeDeadLetters(
      range(700).map((sequence) => letter(sequence, sequence % 100 === 5 ? other : subject)),
    );
    const found = await world.bus.listDeadLetters({
      after: 0,
      limit: 5,
      subjectPrefix: 'homeostat.telemetry.v1.lab.east.',
    });
    expect(found.map((one) => one.sequence)).toEqual([5, 105, 205, 305, 405]);
  });

  test('are one letter when written twice', async () => {
    await world.bus.writeDeadLetters([letter(1), letter(2)]);
    await world.bus.writeDeadLetters([letter(1)]);
    expect((await world.bus.listDeadLetters({ after: 0, limit: 10 })).map((one) => one.sequence)).toEqual([
      1, 2,
    ]);
  });

  test('with an empty payload do not cut the listing short', async () => {
    await world.bus.writeDeadLetters([{ ...letter(1), payload: new Uint8Array(0) }, letter(2)]);
    expect(
      (await world.bus.listDeadLetters({ after: 0, limit: 10 })).map((one) => one.payload.length),
    ).toEqual([0, 1]);
  });

  test('are refused while the broker is away', async () => {
    await world.broker.kill();
    await until(() => !world.bus.connected());
    await expect(world.bus.writeDeadLetters([letter(1)])).rejects.toMatchObject({ reason: 'BROKER_DOWN' });
  });
});
