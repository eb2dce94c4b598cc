/**
 * The journey of docs/walkthrough.md, in its order, through NATS and gRPC only: telemetry becomes windows, windows
 * become maps, load raises the defense level, the level refuses a session, calm admits it again.
 */
import { timestampDate, timestampFromMs } from '@bufbuild/protobuf/wkt';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { RpcError } from '../../src/client/client.ts';
import { MapMode, Regime } from '../../src/gen/homeostat/energy/v1/energy_service_pb.ts';
import { Status } from '../../src/gen/homeostat/resilience/v1/resilience_service_pb.ts';
import { Priority, SessionState } from '../../src/gen/homeostat/session/v1/session_service_pb.ts';
import { BatchOutcome } from '../../src/gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { eventually } from '../support/eventually.ts';
import { startWorld, type World } from '../support/world.ts';

const stream = { domain: 'fleet', cluster: 'west' };
const nodes = ['n1', 'n2', 'n3', 'n4'];
const WINDOW_MS = 10_000;
const START_MS = Date.UTC(2026, 0, 5);

describe('from a telemetry message to a refused session', () => {
  let world: World;
  let sequence = 0;
  let nowMs = START_MS;

  beforeAll(async () => {
    world = await startWorld();
  }, 60_000);
  afterAll(() => world?.stop());

  /** One window of samples of every node, ten a node and metric. */
  const window = async (cpu: number) => {
    sequence++;
    for (const [index, node] of nodes.entries()) {
      const offsets = Array.from({ length: 10 }, (_, i) => i * 1_000);
      await world.send({
        sourceId: node,
        epoch: 1,
        sequence,
        ...stream,
        node,
        baseTime: timestampFromMs(nowMs),
        metrics: [
          { name: 'cpu', unit: '1' },
          { name: 'memory', unit: '1' },
        ],
        metricIndex: [...offsets.map(() => 0), ...offsets.map(() => 1)],
        offsetMs: [...offsets, ...offsets],
        values: [
          ...offsets.map((_, i) => cpu + 0.01 * Math.sin(sequence + i + index)),
          ...offsets.map((_, i) => 0.5 + 0.01 * Math.cos(sequence * 1.7 + i + index)),
        ],
      });
    }
    nowMs += WINDOW_MS;
  };
  const createSession = (key: string, priority: Priority) =>
    world.clients.session.createSession({ idempotencyKey: key, name: key, metadata: { priority } });

  test('1. a producer publishes, and every sample is accounted for', async () => {
    for (let i = 0; i < 70; i++) await window(0.4);
    const report = await eventually(
      () => world.clients.telemetry.getIngestReport({ stream }),
      (answer) => answer.messages?.offered === BigInt(70 * nodes.length),
    );
    expect(report.samples).toMatchObject({
      offered: 5600n,
      accepted: 5600n,
      duplicate: 0n,
      late: 0n,
      rejected: [],
    });
    expect(report.windowsClosed).toBe(69n);
  });

  test('2. the same batch again is a duplicate, and a batch through gRPC is stored', async () => {
    const batch = {
      sourceId: 'direct',
      epoch: 1,
      sequence: 1,
      ...stream,
      node: 'n1',
      baseTime: timestampFromMs(nowMs - 5_000),
      metrics: [{ name: 'cpu', unit: '1' }],
      metricIndex: [0],
      offsetMs: [0],
      values: [0.4],
    };
    const first = await world.clients.telemetry.submitBatch({ batch });
    expect(first.ack).toMatchObject({ outcome: BatchOutcome.STORED, sequence: 1 });
    await world.clients.telemetry.submitBatch({ batch });
    const report = await eventually(
      () => world.clients.telemetry.getIngestReport({ stream }),
      (answer) => answer.messages?.offered === BigInt(70 * nodes.length + 2),
    );
    expect(report.samples).toMatchObject({ accepted: 5601n, duplicate: 1n });
  });

  test('3. windows become maps, observed once 64 were learned', async () => {
    const { map } = await eventually(
      () => world.clients.energy.getMap({ stream }),
      (answer) => answer.map!.start!.seconds === BigInt(START_MS / 1000 + 68 * 10),
    );
    expect(map).toMatchObject({
      mode: MapMode.STATISTICAL,
      regime: Regime.WARMING_UP,
      unit: '1',
      layoutVersion: 1,
    });
    expect(map!.grid).toMatchObject({ rows: 2, cols: 2 });
    expect(map!.nodes).toEqual(nodes);
    expect([...map!.observed]).toEqual([0b1111]);
    expect(map!.state!.net).toBeCloseTo(
      map!.grid!.values.reduce((sum, cell) => sum + cell, 0),
      4,
    );
    const explained = await world.clients.energy.explainMap({ stream, node: 'n2' });
    const [node] = explained.nodes;
    expect(node!.metrics.map((metric) => metric.name).sort()).toEqual(['cpu', 'memory']);
    expect(node!.metrics.reduce((sum, metric) => sum + metric.contribution, 0)).toBeCloseTo(node!.energy, 9);
  });

  test('4. a calm fleet is at level 1 and admits every priority', async () => {
    const { health } = await world.clients.resilience.getHealth({});
    expect(health!.defense!.level).toBe(1);
    expect(health!.utilization).toMatchObject({ status: Status.OK });
    expect(health!.servedShare).toMatchObject({ status: Status.NOT_CONFIGURED });
    const { session } = await createSession('calm', Priority.LOW);
    expect(session).toMatchObject({ state: SessionState.CREATED, owner: 'admin', version: 1n });
  });

  test('5. load raises the defense level', async () => {
    for (let i = 0; i < 8; i++) await window(0.9);
    const { defense } = await eventually(
      () => world.clients.resilience.getDefense({}),
      (answer) => answer.defense!.level === 4,
    );
    const utilization = defense!.inputs.find((input) => input.name === 'utilization');
    expect(utilization).toMatchObject({ level: 4, status: Status.OK, threshold: expect.closeTo(0.85, 9) });
    const log = await world.clients.resilience.listDefenseLog({ scope: {} });
    const fleet = log.entries.filter((entry) => !entry.scope?.domain);
    expect(fleet.map((entry) => entry.toLevel).at(0)).toBe(4);
    expect(fleet.every((entry) => entry.toLevel > entry.fromLevel)).toBe(true);
  });

  test('6. the level refuses a session, with cause, level and retry delay, and admits a more important one', async () => {
    const refusal = await eventually(
      () =>
        createSession(`normal-${performance.now()}`, Priority.NORMAL).then(
          () => undefined,
          (error) => error as RpcError,
        ),
      (error) => error !== undefined,
    );
    expect(refusal).toBeInstanceOf(RpcError);
    expect(refusal).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      domain: 'homeostat.session',
      reason: 'ADMISSION_REFUSED',
      metadata: { cause: 'DEFENSE_LEVEL', level: '4' },
      retryAfterMs: 60_000,
    });
    const { session } = await createSession('important', Priority.HIGH);
    const { session: cancelled } = await world.clients.session.cancelSession({
      sessionId: session!.sessionId,
    });
    expect(cancelled).toMatchObject({ state: SessionState.CANCELLED, version: 2n });
  });

  test('7. calm for 30 minutes of event time lowers the level, and the session is admitted', async () => {
    for (let i = 0; i < 200; i++) await window(0.4);
    await eventually(
      () => world.clients.resilience.getDefense({}),
      (answer) => answer.defense!.level <= 3,
      30_000,
    );
    await eventually(
      () => createSession(`again-${performance.now()}`, Priority.NORMAL).catch((error) => error as RpcError),
      (answer) => !(answer instanceof Error),
    );
  }, 60_000);

  test('8. the end of input closes every window', async () => {
    await world.send({
      sourceId: 'n1',
      epoch: 1,
      sequence: sequence + 1,
      ...stream,
      node: 'n1',
      baseTime: timestampFromMs(nowMs),
      endOfInput: true,
    });
    const report = await eventually(
      () => world.clients.telemetry.getIngestReport({ stream }),
      (answer) => answer.windowsOpen === 0,
    );
    expect(report.windowsClosed).toBe(278n);
    expect(timestampDate(report.newestEventTime!).getTime()).toBeLessThanOrEqual(nowMs);
    const counted = report.samples!;
    const rejected = counted.rejected.reduce((sum, one) => sum + one.count, 0n);
    expect(counted.accepted + counted.duplicate + counted.late + rejected).toBe(counted.offered);
  });
});
