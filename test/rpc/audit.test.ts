/** What the edge tells the audit trail: an entry before the reply, or a count, and never neither. */
import { createHash } from 'node:crypto';
import { afterEach, describe, expect, test } from '@jest/globals';
import { RpcError } from '../../src/client/rpc-error.ts';
import type { AuditedCall, AuditRecord, AuditSink } from '../../src/rpc/audit.ts';
import { identityError } from '../../src/rpc/errors.ts';
import type { Tx } from '../../src/store/store.ts';
import { type EdgeWorld, READER_TOKEN, startEdge } from './edge-world.ts';
import { type ProbeHandlers, probeBinding, probeClient } from './probe-contract.ts';

const SERVICE = 'homeostat.probe.v1.ProbeService';

let world: EdgeWorld;
afterEach(() => world.stop());

/** A trail in memory. Commits wait until they are let go, where a test holds them. */
function createTrail() {
  const trail = {
    committed: [] as AuditRecord[],
    recorded: [] as AuditRecord[],
    counted: [] as AuditedCall[],
    held: undefined as Promise<void> | undefined,
    isBroken: false,
  };
  const sink: AuditSink = {
    record: async (_tx, record) => void trail.recorded.push(record),
    async commit(record) {
      await trail.held;
      if (trail.isBroken) throw identityError('AUDIT_UNAVAILABLE', {}, { retryAfterMs: 1_000 });
      trail.committed.push(record);
    },
    count: (call) => void trail.counted.push(call),
  };
  return { trail, sink };
}

async function start(handlers: Partial<ProbeHandlers>) {
  const { trail, sink } = createTrail();
  world = await startEdge({ bindings: [probeBinding(handlers)], audit: sink });
  return { trail, probe: probeClient(world.channel) };
}

/** A transaction that commits when told so. */
function transaction() {
  const callbacks: (() => void)[] = [];
  const tx = { afterCommit: (callback: () => void) => void callbacks.push(callback) } as Tx;
  return { tx, commit: () => callbacks.splice(0).map((callback) => callback()) };
}

async function failure(call: Promise<unknown>): Promise<RpcError> {
  const error = await call.catch((thrown: unknown) => thrown);
  if (!(error instanceof RpcError)) throw new Error('the call was answered');
  return error;
}

describe('a call that needs an entry', () => {
  test('has it, with all that is known of the call', async () => {
    const { trail, probe } = await start({ record: () => ({}) });
    await probe.record({ text: 'abc' });
    expect(trail.committed).toEqual([
      {
        principal: 'admin',
        method: `${SERVICE}/Record`,
        code: 'OK',
        reason: '',
        peer: '127.0.0.1',
        resource: '',
        requestDigest: new Uint8Array(createHash('sha256').update('\n\x03abc').digest()),
        requestId: 'request-1',
      },
    ]);
    expect([trail.recorded, trail.counted]).toEqual([[], []]);
  });

  test('is answered only once it is committed', async () => {
    const { trail, probe } = await start({ record: () => ({ text: 'done' }), greet: () => ({}) });
    let letGo = () => {};
    trail.held = new Promise((resolve) => {
      letGo = resolve;
    });
    let answered = false;
    const reply = probe.record({}).then((given) => {
      answered = true;
      return given;
    });
    await probe.greet({}); // A round trip on the same connection.
    expect(answered).toBe(false);
    letGo();
    expect(await reply).toMatchObject({ text: 'done' });
    expect(trail.committed).toHaveLength(1);
  });

  test('is refused while the trail cannot be written', async () => {
    const { trail, probe } = await start({ record: () => ({}) });
    trail.isBroken = true;
    expect(await failure(probe.record({}))).toMatchObject({
      code: 'UNAVAILABLE',
      domain: 'homeostat.identity',
      reason: 'AUDIT_UNAVAILABLE',
      retryAfterMs: 1_000,
    });
    expect(trail.counted).toMatchObject([{ code: 'UNAVAILABLE', reason: 'AUDIT_UNAVAILABLE' }]);
    expect(await world.metrics.exposition()).not.toContain('auth_failures_total{');
  });

  test('has one only, where its handler committed it with its own transaction', async () => {
    const { trail, probe } = await start({
      record: async (_request, call) => {
        const { tx, commit } = transaction();
        await call.audit(tx, 'probe/7');
        commit();
        return {};
      },
    });
    await probe.record({});
    expect(trail.recorded).toMatchObject([{ resource: 'probe/7', code: 'OK', requestId: 'request-1' }]);
    expect(trail.committed).toEqual([]);
  });

  test('still gets it where that transaction was rolled back', async () => {
    const { trail, probe } = await start({
      record: async (_request, call) => {
        await call.audit(transaction().tx, 'probe/7');
        return {};
      },
    });
    await probe.record({});
    expect(trail.committed).toMatchObject([{ resource: '' }]);
  });

  test('and fails has none, but is counted', async () => {
    const { trail, probe } = await start({
      record: () => {
        throw identityError('NO_PERMISSION', { permission: 'probe.write' });
      },
    });
    await failure(probe.record({}));
    await failure(probe.record({ text: 'much too long' }));
    expect(trail.committed).toEqual([]);
    const at = { principal: 'admin', method: `${SERVICE}/Record`, peer: '127.0.0.1' };
    expect(trail.counted).toEqual([
      { ...at, code: 'PERMISSION_DENIED', reason: 'NO_PERMISSION' },
      { ...at, code: 'INVALID_ARGUMENT', reason: 'FIELD_INVALID' },
    ]);
  });
});

describe('a stream that needs an entry', () => {
  async function startStream(replies: () => AsyncIterable<{ text: string }>) {
    const { trail, sink } = createTrail();
    world = await startEdge({ bindings: [probeBinding({ tail: replies })], audit: sink });
    return { trail, probe: probeClient(world.channel) };
  }

  test('has it before its first reply, once', async () => {
    const seen: number[] = [];
    const { trail, probe } = await startStream(async function* () {
      yield { text: 'one' };
      seen.push(trail.committed.length);
      yield { text: 'two' };
    });
    for await (const _ of probe.tail({}));
    expect(seen).toEqual([1]);
    expect(trail.committed).toMatchObject([{ method: `${SERVICE}/Tail`, code: 'OK' }]);
  });

  test('has it also where there is no reply', async () => {
    const { trail, probe } = await startStream(async function* () {});
    for await (const _ of probe.tail({}));
    expect(trail.committed).toHaveLength(1);
  });

  test('gives nothing while the trail cannot be written', async () => {
    const { trail, probe } = await startStream(async function* () {
      yield { text: 'secret' };
    });
    trail.isBroken = true;
    const texts: string[] = [];
    const read = async () => {
      for await (const { text } of probe.tail({})) texts.push(text);
    };
    expect(await failure(read())).toMatchObject({ reason: 'AUDIT_UNAVAILABLE' });
    expect(texts).toEqual([]);
  });
});

describe('other calls', () => {
  test('that are refused at the door are counted, whatever they are', async () => {
    const { trail } = await start({ echo: () => ({}), greet: () => ({}) });
    await failure(probeClient(world.channelWith(undefined)).echo({}));
    await failure(probeClient(world.channelWith('nobody')).echo({}));
    await failure(probeClient(world.channelWith(READER_TOKEN)).echo({}));
    const at = { method: `${SERVICE}/Echo`, peer: '127.0.0.1' };
    expect(trail.counted).toEqual([
      { ...at, principal: '', code: 'UNAUTHENTICATED', reason: 'MISSING_CREDENTIALS' },
      { ...at, principal: '', code: 'UNAUTHENTICATED', reason: 'BAD_TOKEN' },
      { ...at, principal: 'reader', code: 'PERMISSION_DENIED', reason: 'NO_PERMISSION' },
    ]);
  });

  test('that are answered, or refused for what they ask, leave nothing', async () => {
    const { trail, probe } = await start({ echo: () => ({}) });
    await probe.echo({});
    await failure(probe.echo({ text: 'much too long' }));
    expect(trail).toMatchObject({ committed: [], recorded: [], counted: [] });
  });
});
