/**
 * The server is killed with SIGKILL, and the broker too, at random moments while messages pour in. What is left must
 * be what an undisturbed run leaves: every count, every window, every event exactly once.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { toBinary } from '@bufbuild/protobuf';
import { expect, test } from '@jest/globals';
import { connectProducer } from '../../src/bus/producer.ts';
import { topics } from '../../src/bus/topics.ts';
import { systemClock as clock, delay } from '../../src/clock.ts';
import {
  SequenceGapDetectedSchema,
  WindowClosedSchema,
} from '../../src/gen/homeostat/telemetry/v1/telemetry_events_pb.ts';
import { createRandom } from '../../src/random.ts';
import { openStore } from '../../src/store/open.ts';
import { captureStream, parseHead } from '../../src/telemetry/fold/checkpoint.ts';
import { openTestBus, startTestBroker, type TestBroker, until } from '../support/broker.ts';
import { openTestStore, silentLogger } from '../support/stores.ts';
import { createHarness, encodeBatch, START_MS, subjectOf } from './messages.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const MESSAGES = 12_000;

/** A recording with everything in it: repeats, holes, late and bad samples, JSON, nonsense. */
function recording(seed: number): { subject: string; payload: Uint8Array }[] {
  const random = createRandom(seed);
  const next = new Map<string, number>();
  const made: { subject: string; payload: Uint8Array }[] = [];
  for (let i = 0; i < MESSAGES; i++) {
    const node = `n${random.below(8)}`;
    const atSeconds = i / 40 + random.uniform();
    if (random.below(300) === 0)
      made.push({ subject: subjectOf(node), payload: new TextEncoder().encode(`? ${i}`) });
    if (random.below(40) === 0) {
      const message = JSON.stringify({
        time: START_MS + Math.floor(atSeconds) * 1000,
        metrics: { load: i % 5 },
      });
      made.push({ subject: subjectOf(node), payload: new TextEncoder().encode(message) });
    }
    const sequence = (next.get(node) ?? 0) + (random.below(60) === 0 ? 3 : 1);
    next.set(node, sequence);
    const value = random.below(200) === 0 ? Number.NaN : random.normal();
    const late = random.below(100) === 0 ? 40 : 0;
    const samples = [
      [atSeconds - late, value],
      [atSeconds, i, 'total'],
    ] as const;
    const batch = {
      subject: subjectOf(node),
      payload: encodeBatch({ source: node, node, sequence, samples, baseSeconds: atSeconds }),
    };
    made.push(batch);
    if (random.below(50) === 0) made.push(batch);
  }
  made.push({
    subject: subjectOf('n0'),
    payload: encodeBatch({
      source: 'end',
      node: 'n0',
      sequence: 1,
      baseSeconds: MESSAGES / 40,
      endOfInput: true,
    }),
  });
  return made;
}

class FoldProcess {
  kills = 0;
  private child: ChildProcess | undefined;
  private readonly dataDir: string;
  private readonly broker: TestBroker;

  constructor(dataDir: string, broker: TestBroker) {
    this.dataDir = dataDir;
    this.broker = broker;
  }

  async start(): Promise<void> {
    const loader = join(root, 'test/support/typescript-loader.mjs');
    const script = join(root, 'test/telemetry/fold-process.ts');
    const child = spawn(process.execPath, ['--import', loader, script, this.dataDir, this.broker.url], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.child = child;
    await Promise.race([once(child.stdout!, 'data'), once(child, 'exit')]);
  }

  async kill(): Promise<void> {
    const { child } = this;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
    this.kills++;
  }
}

test('kill -9 of server and broker at random moments changes nothing', async () => {
  const messages = recording(11);
  const random = createRandom(12);
  const broker = await startTestBroker();
  const dataDir = await mkdtemp(join(tmpdir(), 'homeostat-crash-'));
  const listenerStore = await openTestStore();
  const listener = await openTestBus({ store: listenerStore.store, broker });
  const fold = new FoldProcess(dataDir, broker);
  const producer = await connectProducer({ url: broker.producerUrl });
  const stopAll = async () => {
    await fold.kill();
    await producer.close();
    await listener.dispose();
    await listenerStore.dispose();
    await broker.stop();
    await rm(dataDir, { recursive: true, force: true });
  };
  try {
    const windows = new Map<string, Uint8Array>();
    const gaps = new Map<string, Uint8Array>();
    let windowEvents = 0;
    await listener.bus.consume({
      topic: topics.windowClosed,
      durable: 'crash-windows',
      handle: async (events) => {
        for (const { id, message } of events) {
          windowEvents++;
          const bytes = toBinary(WindowClosedSchema, message);
          const before = windows.get(id);
          if (before !== undefined) expect(before).toEqual(bytes);
          windows.set(id, bytes);
        }
      },
    });
    await listener.bus.consume({
      topic: topics.sequenceGapDetected,
      durable: 'crash-gaps',
      handle: async (events) => {
        for (const { id, message } of events) gaps.set(id, toBinary(SequenceGapDetectedSchema, message));
      },
    });

    await fold.start();
    let sending = true;
    const sent = (async () => {
      for (const { subject, payload } of messages) {
        await producer.ready();
        void producer.publish(subject, payload);
      }
      await producer.idle();
      sending = false;
    })();
    for (let round = 0; round < 6 || sending; round++) {
      await delay(clock, 20 + random.below(350)); // Not to wait for anything: the moment is what is tested.
      if (round === 3) await broker.restart();
      await fold.kill();
      await fold.start();
    }
    await sent;

    const store = await openStore({ dataDir, clock, logger: silentLogger });
    const read = async () =>
      (await store
        .query<{ telemetry_checkpoint: { head: string; sequence: number; cluster: string } }>()
        .selectFrom('telemetry_checkpoint')
        .select(['head', 'sequence'])
        .where('cluster', '=', 'west')
        .executeTakeFirst())!;
    await until(
      async () => ((await read())?.sequence ?? 0) >= messages.length + producer.resent || isEnd(await read()),
      30_000,
    );
    const row = await read();
    await store.close();

    // The same messages as the broker holds them, folded once without any disturbance.
    const calm = createHarness();
    const abort = new AbortController();
    let taken = 0;
    for await (const message of listener.bus.readTelemetry({
      filter: 'homeostat.telemetry.v1.*.*.*',
      startSequence: 1,
      signal: abort.signal,
    })) {
      calm.fold.take(message);
      if (++taken === row.sequence) abort.abort();
    }
    const { closed, found } = calm.stream;
    const expected = parseHead(captureStream(calm.stream).head);
    expect(parseHead(row.head)).toEqual(expected);
    await until(() => windows.size >= closed.length && gaps.size >= found.length, 30_000);
    expect(windows.size).toBe(closed.length);
    expect(gaps.size).toBe(found.length);
    expect(closed.length).toBeGreaterThan(20);
    expect(found.length).toBeGreaterThan(20);
    expect(windowEvents).toBeGreaterThanOrEqual(windows.size);
    expect(fold.kills).toBeGreaterThanOrEqual(6);
  } finally {
    await stopAll();
  }
}, 120_000);

function isEnd(row: { head: string } | undefined): boolean {
  return row !== undefined && parseHead(row.head).windowsOpen === 0;
}
