/**
 * A client in another language, with an implementation of HTTP/2 and gRPC that shares nothing with the server's:
 * Python's grpcio sends golden bytes and prints what comes back, trailers included.
 */
import { execFile, spawnSync } from 'node:child_process';
import { promisify } from 'node:util';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ErrorInfoSchema } from '../../src/gen/google/rpc/error_details_pb.ts';
import { StatusSchema } from '../../src/gen/google/rpc/status_pb.ts';
import {
  ComputeStateRequestSchema,
  ComputeStateResponseSchema,
} from '../../src/gen/homeostat/energy/v1/energy_service_pb.ts';
import { startWorld, type World } from '../support/world.ts';

const python = ['/usr/bin/python3', 'python3'].find(
  (name) => spawnSync(name, ['-c', 'import grpc']).status === 0,
);
const withPython = python ? test : test.skip;
const unless = python ? '' : ' (skipped: python3-grpcio is not installed)';

/** Calls METHOD with BYTES (hex) and metadata; prints code, details, reply and trailers as JSON. */
const PROGRAM = `
import grpc, json, sys
address, method, request, token = sys.argv[1:5]
identity = lambda data: data
metadata = [("authorization", "Bearer " + token)] if token else []
with grpc.insecure_channel(address) as channel:
    call = channel.unary_unary(method, request_serializer=identity, response_deserializer=identity)
    try:
        reply, state = call.with_call(bytes.fromhex(request), metadata=metadata, timeout=20)
        print(json.dumps({"code": "OK", "reply": reply.hex()}))
    except grpc.RpcError as error:
        trailers = {key: value.hex() if isinstance(value, bytes) else value for key, value in error.trailing_metadata()}
        print(json.dumps({"code": error.code().name, "details": error.details(), "trailers": trailers}))
`;

interface Answer {
  readonly code: string;
  readonly reply?: string;
  readonly details?: string;
  readonly trailers?: Record<string, string>;
}

describe('a Python client', () => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld();
  }, 60_000);
  afterAll(() => world?.stop());

  // Not spawnSync: the server runs in this process and needs its event loop.
  const call = async (method: string, request: Uint8Array, token: string): Promise<Answer> => {
    const hex = Buffer.from(request).toString('hex');
    const args = ['-c', PROGRAM, world.server.grpcAddress, method, hex, token];
    const { stdout } = await promisify(execFile)(python!, args, { timeout: 30_000 });
    return JSON.parse(stdout) as Answer;
  };
  const method = '/homeostat.energy.v1.EnergyService/ComputeState';

  withPython(`gets the state of a map${unless}`, async () => {
    const request = create(ComputeStateRequestSchema, {
      map: { grid: { rows: 2, cols: 2, values: [1, 2, 3, 4] } },
    });
    const { code, reply } = await call(method, toBinary(ComputeStateRequestSchema, request), world.adminKey);
    expect(code).toBe('OK');
    const { state } = fromBinary(ComputeStateResponseSchema, Buffer.from(reply!, 'hex'));
    expect(state!.net).toBe(10);
    expect(state!.spatialEntropy).toBeCloseTo(1.279854, 6);
  });

  withPython(`is refused without credentials, with a typed reason${unless}`, async () => {
    const { code, details, trailers } = await call(method, new Uint8Array(), '');
    expect(code).toBe('UNAUTHENTICATED');
    expect(details).toMatch(/^MISSING_CREDENTIALS/);
    const status = fromBinary(StatusSchema, Buffer.from(trailers!['grpc-status-details-bin']!, 'hex'));
    const info = fromBinary(ErrorInfoSchema, status.details[0]!.value);
    expect(info).toMatchObject({ reason: 'MISSING_CREDENTIALS', domain: 'homeostat.identity' });
  });

  withPython(`learns the path of a broken field${unless}`, async () => {
    const request = create(ComputeStateRequestSchema, {
      map: { grid: { rows: 2000, cols: 2, values: [Number.NaN] } },
    });
    const { code, details } = await call(
      method,
      toBinary(ComputeStateRequestSchema, request),
      world.adminKey,
    );
    expect(code).toBe('INVALID_ARGUMENT');
    expect(details).toContain('map.grid.rows');
    expect(details).toContain('map.grid.values[0]');
  });

  withPython(`asks for health without credentials${unless}`, async () => {
    expect(await call('/grpc.health.v1.Health/Check', new Uint8Array(), '')).toMatchObject({
      code: 'OK',
      reply: '0801',
    });
  });
});
