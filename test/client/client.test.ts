import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { anyPack } from '@bufbuild/protobuf/wkt';
import * as grpc from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { type Clients, createClients, RpcError } from '../../src/client/client.ts';
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from '../../src/gen/google/rpc/error_details_pb.ts';
import { StatusSchema } from '../../src/gen/google/rpc/status_pb.ts';
import { SessionService } from '../../src/gen/homeostat/session/v1/session_service_pb.ts';
import { TelemetryService } from '../../src/gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { createRandom } from '../../src/random.ts';

type Answer = (callNumber: number, metadata: grpc.Metadata) => grpc.ServiceError | undefined;

/** A refusal as a Homeostat server sends it. */
function refusal(
  code: grpc.status,
  reason: string,
  details: { retryAfterMs?: number; metadata?: Record<string, string>; field?: string } = {},
): grpc.ServiceError {
  const packed = [
    anyPack(
      ErrorInfoSchema,
      create(ErrorInfoSchema, { reason, domain: 'homeostat.session', metadata: details.metadata ?? {} }),
    ),
  ];
  if (details.retryAfterMs !== undefined) {
    const retryDelay = {
      seconds: BigInt(Math.floor(details.retryAfterMs / 1000)),
      nanos: (details.retryAfterMs % 1000) * 1e6,
    };
    packed.push(anyPack(RetryInfoSchema, create(RetryInfoSchema, { retryDelay })));
  }
  if (details.field) {
    const fieldViolations = [{ field: details.field, description: 'must be set' }];
    packed.push(anyPack(BadRequestSchema, create(BadRequestSchema, { fieldViolations })));
  }
  const metadata = new grpc.Metadata();
  const status = create(StatusSchema, { code, message: `${reason}: told`, details: packed });
  metadata.set('grpc-status-details-bin', Buffer.from(toBinary(StatusSchema, status)));
  return Object.assign(new Error(reason), { code, details: `${reason}: told`, metadata });
}

/** A real grpc-js server whose session service answers as told and whose telemetry service echoes. */
class ScriptedServer {
  readonly server = new grpc.Server();
  calls = 0;
  cancelled = 0;
  answer: Answer = () => undefined;
  lastMetadata = new grpc.Metadata();
  address = '';

  async start(): Promise<void> {
    const { createSession, getSession } = SessionService.method;
    const { ingest, watch } = TelemetryService.method;
    const raw = { deserialize: (bytes: Buffer) => bytes, serialize: (bytes: Buffer) => bytes };
    const method = (of: { parent: { typeName: string }; name: string }, streaming: [boolean, boolean]) => ({
      path: `/${of.parent.typeName}/${of.name}`,
      requestStream: streaming[0],
      responseStream: streaming[1],
      requestDeserialize: raw.deserialize,
      requestSerialize: raw.serialize,
      responseDeserialize: raw.deserialize,
      responseSerialize: raw.serialize,
    });
    const session = (call: grpc.ServerUnaryCall<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) => {
      this.calls++;
      this.lastMetadata = call.metadata;
      const error = this.answer(this.calls, call.metadata);
      if (error) return done(error);
      const reply = create(createSession.output, { session: { sessionId: 'made', name: `${this.calls}` } });
      done(null, Buffer.from(toBinary(createSession.output, reply)));
    };
    this.server.addService(
      { create: method(createSession, [false, false]), get: method(getSession, [false, false]) },
      { create: session, get: session },
    );
    this.server.addService(
      { ingest: method(ingest, [true, true]), watch: method(watch, [false, true]) },
      {
        ingest: (call: grpc.ServerDuplexStream<Buffer, Buffer>) => {
          call.on('data', (bytes: Buffer) => {
            const { batch } = fromBinary(ingest.input, bytes);
            const ack = { sourceId: batch!.sourceId, sequence: batch!.sequence };
            call.write(Buffer.from(toBinary(ingest.output, create(ingest.output, { ack }))));
          });
          call.on('end', () => call.end());
        },
        watch: (call: grpc.ServerWritableStream<Buffer, Buffer>) => {
          call.on('cancelled', () => this.cancelled++);
          for (const resumeToken of ['a', 'b', 'c']) {
            call.write(Buffer.from(toBinary(watch.output, create(watch.output, { resumeToken }))));
          }
          const error = this.answer(0, call.metadata);
          if (error) call.emit('error', error);
        },
      },
    );
    const port = await new Promise<number>((resolve, reject) =>
      this.server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      ),
    );
    this.address = `127.0.0.1:${port}`;
  }
}

let scripted: ScriptedServer;
let clients: Clients;

beforeEach(async () => {
  scripted = new ScriptedServer();
  await scripted.start();
  clients = createClients({
    address: scripted.address,
    token: 'hk_test',
    random: createRandom(1),
    retry: { backoffMs: 1, backoffMsMax: 2, waitMsMax: 200 },
  });
});

afterEach(() => {
  clients.close();
  scripted.server.forceShutdown();
});

const failed = (call: Promise<unknown>): Promise<RpcError> =>
  call.then(
    () => {
      throw new Error('the call did not fail');
    },
    (error: unknown) => {
      expect(error).toBeInstanceOf(RpcError);
      return error as RpcError;
    },
  );

describe('unary calls', () => {
  test('carry the token and return the typed reply', async () => {
    const reply = await clients.session.createSession({ idempotencyKey: 'k', name: 'work' });
    expect(reply.session?.sessionId).toBe('made');
    expect(scripted.lastMetadata.get('authorization')).toEqual(['Bearer hk_test']);
  });

  test('a refusal arrives with reason, domain, metadata, retry delay and violations', async () => {
    scripted.answer = () =>
      refusal(grpc.status.RESOURCE_EXHAUSTED, 'ADMISSION_REFUSED', {
        retryAfterMs: 60_000,
        metadata: { cause: 'DEFENSE_LEVEL', level: '4' },
        field: 'name',
      });
    const error = await failed(clients.session.createSession({ idempotencyKey: 'k', name: 'work' }));
    expect(error).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      reason: 'ADMISSION_REFUSED',
      domain: 'homeostat.session',
      metadata: { cause: 'DEFENSE_LEVEL', level: '4' },
      retryAfterMs: 60_000,
      violations: [{ field: 'name', description: 'must be set' }],
      message: 'ADMISSION_REFUSED: told',
    });
    expect(scripted.calls).toBe(1);
  });

  test('an error without details still has its code', async () => {
    scripted.answer = () =>
      Object.assign(new Error('no'), {
        code: grpc.status.NOT_FOUND,
        details: 'no',
        metadata: new grpc.Metadata(),
      });
    const error = await failed(clients.session.getSession({ sessionId: 'x' }));
    expect(error).toMatchObject({ code: 'NOT_FOUND', reason: '', domain: '', retryAfterMs: undefined });
  });

  test('a short retry delay is waited out, even by a command', async () => {
    scripted.answer = (number) =>
      number < 3 ? refusal(grpc.status.UNAVAILABLE, 'DRAINING', { retryAfterMs: 5 }) : undefined;
    const reply = await clients.session.createSession({ name: 'work' });
    expect(reply.session?.name).toBe('3');
  });

  test('pushback -1 forbids a retry', async () => {
    scripted.answer = () => {
      const error = refusal(grpc.status.UNAVAILABLE, 'DRAINING', { retryAfterMs: 5 });
      error.metadata.set('grpc-retry-pushback-ms', '-1');
      return error;
    };
    const error = await failed(clients.session.getSession({ sessionId: 'x' }));
    expect(error.retryAfterMs).toBe(-1);
    expect(scripted.calls).toBe(1);
  });

  test('a command without idempotency key is not repeated when its fate is unknown, a keyed one is', async () => {
    const lost = () =>
      Object.assign(new Error('cut'), {
        code: grpc.status.UNAVAILABLE,
        details: 'cut',
        metadata: new grpc.Metadata(),
      });
    scripted.answer = lost;
    await failed(clients.session.createSession({ name: 'work' }));
    expect(scripted.calls).toBe(1);
    scripted.calls = 0;
    await failed(clients.session.createSession({ name: 'work', idempotencyKey: 'k' }));
    expect(scripted.calls).toBe(5);
  });

  test('a deadline ends the call and its retries', async () => {
    scripted.answer = () => refusal(grpc.status.UNAVAILABLE, 'DRAINING', { retryAfterMs: 150 });
    const error = await failed(clients.session.getSession({ sessionId: 'x' }, { timeoutMs: 100 }));
    expect(error.reason).toBe('DRAINING');
    expect(scripted.calls).toBe(1);
  });

  test('a signal cancels the call', async () => {
    const error = await failed(
      clients.session.getSession({ sessionId: 'x' }, { signal: AbortSignal.abort() }),
    );
    expect(error.code).toBe('CANCELLED');
  });
});

describe('streaming calls', () => {
  const stream = { domain: 'd', cluster: 'c' };

  test('leaving the loop cancels the call on the server', async () => {
    const seen: string[] = [];
    for await (const { resumeToken } of clients.telemetry.watch({ stream })) {
      seen.push(resumeToken);
      if (seen.length === 2) break;
    }
    expect(seen).toEqual(['a', 'b']);
    for (let i = 0; i < 200 && scripted.cancelled === 0; i++) await new Promise(setImmediate);
    expect(scripted.cancelled).toBe(1);
  });

  test('an error ends the loop as an RpcError', async () => {
    scripted.answer = () => refusal(grpc.status.FAILED_PRECONDITION, 'RESUME_TOO_OLD');
    const read = async () => {
      for await (const _ of clients.telemetry.watch({ stream }));
    };
    expect((await failed(read())).reason).toBe('RESUME_TOO_OLD');
  });

  test('many batches pass through a bidirectional stream in order', async () => {
    const count = 2_000;
    async function* batches() {
      for (let sequence = 1; sequence <= count; sequence++) yield { batch: { sourceId: 's', sequence } };
    }
    let expected = 1;
    for await (const { ack } of clients.telemetry.ingest(batches())) {
      expect(ack?.sequence).toBe(expected);
      expected++;
    }
    expect(expected).toBe(count + 1);
  });
});
