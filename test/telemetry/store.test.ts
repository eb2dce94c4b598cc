/** What telemetry keeps in SQL, on every engine. */
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { Bus } from '../../src/bus/bus.ts';
import type { Store } from '../../src/store/store.ts';
import { telemetryMigrations } from '../../src/telemetry/context.ts';
import { captureStream, restoreStream } from '../../src/telemetry/fold/checkpoint.ts';
import { createTelemetryStore, type TelemetryStore } from '../../src/telemetry/store.ts';
import { describeOnStores, type TestDatabase } from '../support/stores.ts';
import { createHarness, SETTINGS, START_MS } from './messages.ts';

describeOnStores('the tables of telemetry', (engine) => {
  let database: TestDatabase;
  let store: Store;
  let table: TelemetryStore;
  let recorded: string[];
  let nowMs = START_MS;
  beforeEach(async () => {
    database = await engine.createDatabase();
    store = await database.open(telemetryMigrations);
    recorded = [];
    const bus: Pick<Bus, 'record'> = {
      record: async (_tx, topic, key) => void recorded.push(`${topic.name} ${key}`),
    };
    table = createTelemetryStore(store, bus as Bus, () => nowMs);
  });
  afterEach(() => database.dispose());

  test("begin at the start of the broker's stream", async () => {
    expect(await table.position()).toEqual({ generation: 1, sequence: 0 });
    expect(await table.checkpoints({ domain: '', cluster: '' }, 10)).toEqual([]);
  });

  test('give back the state that was committed last', async () => {
    const harness = createHarness();
    harness.send({
      sequence: 1,
      samples: [
        [1, 1],
        [2, 2, 'm'],
      ],
      labels: { 'homeostat.row': '1', 'homeostat.col': '0' },
    });
    harness.sendRaw(`{"time":${START_MS + 3000},"metrics":{"cpu":1}}`);
    const first = { generation: 1, sequence: 2 };
    await table.commit({ captures: [captureStream(harness.stream)], covered: first, position: first });
    harness.send({ sequence: 5, samples: [[42, 2]] });
    harness.send({ sequence: 6, samples: [[110, 2]] });
    const capture = captureStream(harness.stream);
    expect(capture.names).toBeUndefined();
    const second = { generation: 1, sequence: 4 };
    await table.commit({ captures: [capture], covered: second, position: second });

    expect(await table.position()).toEqual(second);
    const stored = (await table.checkpoint({ domain: 'lab', cluster: 'west' }))!;
    expect(stored).toMatchObject(second);
    const stream = restoreStream(stored, SETTINGS);
    for (const { minute, hashes } of await table.content(stored, stream.content.floorMinute))
      stream.content.restore(minute, hashes);
    stream.capturedNames = '';
    const again = captureStream(stream);
    expect(again.head).toBe(capture.head);
    expect(again.state).toEqual(capture.state);
    expect(stream.content.take(0, START_MS, START_MS)).toBe(true);
    expect(recorded.sort()).toEqual(
      [
        'sequence_gap_detected lab.west.1.2.agent',
        `window_closed lab.west.${START_MS}.0`,
        `window_closed lab.west.${START_MS + 40_000}.0`,
      ].sort(),
    );
  });

  test('tell repeated content after a restart', async () => {
    const harness = createHarness();
    const message = `{"time":${START_MS + 3000},"metrics":{"cpu":1}}`;
    harness.sendRaw(message);
    const at = { generation: 1, sequence: 1 };
    await table.commit({ captures: [captureStream(harness.stream)], covered: at, position: at });
    const stored = (await table.checkpoint({ domain: 'lab', cluster: 'west' }))!;
    const other = createHarness();
    const stream = restoreStream(stored, SETTINGS);
    for (const { minute, hashes } of await table.content(stored, stream.content.floorMinute))
      stream.content.restore(minute, hashes);
    other.fold.addStream(stream);
    other.sendRaw(message);
    expect(Array.from(other.messages().slice(0, 2))).toEqual([1, 1]);
  });

  test('list checkpoints in order, from a place on', async () => {
    const harness = createHarness();
    for (const name of ['b.a', 'a.b', 'a.a', 'a.B'])
      harness.sendRaw('{"metrics":{"cpu":1}}', `homeostat.telemetry.v1.${name}.n`);
    const at = { generation: 1, sequence: 4 };
    await table.commit({ captures: harness.fold.dirty.map(captureStream), covered: at, position: at });
    const names = async (domain: string, cluster: string, limit: number) =>
      (await table.checkpoints({ domain, cluster }, limit)).map((row) => `${row.domain}.${row.cluster}`);
    expect(await names('', '', 10)).toEqual(['a.B', 'a.a', 'a.b', 'b.a']);
    expect(await names('a', 'a', 2)).toEqual(['a.a', 'a.b']);
  });

  test('keep the counts of closed windows until they are pruned', async () => {
    const harness = createHarness();
    harness.send({ sequence: 1, samples: [[1, 1]] });
    harness.send({ sequence: 1, samples: [[1, 1]] });
    harness.send({ sequence: 2, samples: [[31, 1]], endOfInput: true });
    const at = { generation: 1, sequence: 3 };
    await table.commit({ captures: [captureStream(harness.stream)], covered: at, position: at });
    const counts = await table.windowCounts({ domain: 'lab', cluster: 'west' }, START_MS, START_MS + 10_000);
    expect(counts.map((one) => one.samples.slice(0, 2))).toEqual([[1, 1]]);
    nowMs += 1000;
    await table.pruneSummaries(nowMs);
    expect(await table.windowCounts({ domain: 'lab', cluster: 'west' }, 0, Number.MAX_SAFE_INTEGER)).toEqual(
      [],
    );
  });

  test('forget content older than ten minutes of event time', async () => {
    const harness = createHarness();
    for (const [i, seconds] of [0, 700, 1400].entries()) {
      harness.sendRaw(`{"time":${START_MS + seconds * 1000},"metrics":{"cpu":1}}`);
      const at = { generation: 1, sequence: i + 1 };
      await table.commit({ captures: [captureStream(harness.stream)], covered: at, position: at });
    }
    const rows = await table.content({ domain: 'lab', cluster: 'west' }, Number.MIN_SAFE_INTEGER);
    expect(rows.map((row) => row.minute - START_MS / 60_000)).toEqual([11, 23]);
  });
});
