/**
 * One side of P3, P4 or P5 as a process. `edge` (`edge-server edge key|jwt <token file>`) and `http` are the product's
 * edges, with its identity and a handler that answers the same map each time; `bare-rpc`, `bare-health` and `bare-http` are the least that answers the same bytes. Prints its
 * address and serves until it is ended.
 */
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { type handleUnaryCall, Server, ServerCredentials } from '@grpc/grpc-js';
import { createClient, openChannel } from '../src/client/client.ts';
import { systemClock } from '../src/clock.ts';
import {
  EnergyService,
  GetMapRequestSchema,
  GetMapResponseSchema,
} from '../src/gen/homeostat/energy/v1/energy_service_pb.ts';
import { AuthService } from '../src/gen/homeostat/identity/v1/auth_service_pb.ts';
import { createHttpServer } from '../src/http/serve.ts';
import { createLogger, createMetrics } from '../src/observability.ts';
import { createRandom } from '../src/random.ts';
import type { ServiceBinding } from '../src/rpc/handler.ts';
import { watchLoad } from '../src/rpc/load-signals.ts';
import { createRpcServer, type RpcConfig } from '../src/rpc/serve.ts';
import { GET_MAP_PATH, HEALTH_PATH, mapReply } from './edge-calls.ts';
import { openIdentity } from './edge-identity.ts';

const config: RpcConfig = {
  address: '127.0.0.1:0',
  receiveBytesMax: 16 * 1024 * 1024,
  sendBytesMax: 64 * 1024 * 1024,
  callsPerConnectionMax: 100,
  metadataBytesMax: 16 * 1024,
  keepaliveMs: 30_000,
  keepaliveTimeoutMs: 10_000,
  connectionAgeMs: 1_800_000,
  connectionGraceMs: 30_000,
  reflection: false,
  deadlineMs: 30_000,
  deadlineMaxMs: 300_000,
  streamsMax: 1_000,
  unsentBytesMax: 4 * 1024 * 1024,
  stallMs: 10_000,
  slowMs: 1_000,
  connectionsMax: 1_000,
  connectionsPerAddressMax: 100,
  firstByteMs: 5_000,
  unfinishedBytesMax: 256 * 1024 * 1024,
  requestMs: 30_000,
  resetsMax: 500,
  // The whole load is one caller's: its bucket is charged by every call and must not be what ends the measurement.
  tokensPerMinute: { FREE: 1e9, PRO: 1e9, ENTERPRISE: 1e9 },
  bucketsMax: 100_000,
};

function energyBinding(): ServiceBinding {
  const handlers: Record<string, unknown> = {};
  for (const { localName } of EnergyService.methods) handlers[localName] = () => mapReply;
  return { service: EnergyService, handlers };
}

async function createProduct() {
  const metrics = createMetrics();
  const logger = createLogger('warn');
  const { identity, apiKey } = await openIdentity(logger, metrics);
  const rpc = createRpcServer({
    config,
    clock: systemClock,
    logger,
    metrics,
    bindings: [energyBinding(), ...identity.services],
    verifier: identity.verifier,
    audit: identity.audit,
    load: watchLoad(() => []),
    random: createRandom(1),
    createRequestId: () => 'bench',
    unavailable: () => [],
  });
  const http = createHttpServer({
    config: { address: '127.0.0.1:0', corsOrigins: [] },
    clock: systemClock,
    logger,
    metrics,
    health: rpc.health,
  });
  return { rpc, http, apiKey };
}

async function startHttp(): Promise<string> {
  const { rpc, http } = await createProduct();
  rpc.markServing();
  return http.start();
}

/** Writes the credentials that callers are to use into the file that is named: an API key, or an access token. */
async function startEdge(credentials: string | undefined, tokenFile: string | undefined): Promise<string> {
  const { rpc, apiKey } = await createProduct();
  const address = await rpc.start();
  rpc.markServing();
  if (tokenFile) writeFileSync(tokenFile, credentials === 'jwt' ? await issueToken(address, apiKey) : apiKey);
  return address;
}

async function issueToken(address: string, apiKey: string): Promise<string> {
  const channel = openChannel({ address, token: apiKey });
  const { accessToken } = await createClient(AuthService, channel).issueToken({ idempotencyKey: 'bench' });
  channel.close();
  return accessToken;
}

/** grpc-js as it comes, decoding the request and encoding the reply. */
function startBareRpc(): Promise<string> {
  const reply = create(GetMapResponseSchema, mapReply);
  return startBare(
    GET_MAP_PATH,
    (bytes) => fromBinary(GetMapRequestSchema, bytes),
    () => Buffer.from(toBinary(GetMapResponseSchema, reply)),
    (_call, callback) => callback(null, reply),
  );
}

/** grpc-js as it comes, answering the bytes of SERVING. */
function startBareHealth(): Promise<string> {
  const bytes = Buffer.from([0x08, 0x01]);
  return startBare(
    HEALTH_PATH,
    (given) => given,
    (given) => given as Buffer,
    (_call, callback) => callback(null, bytes),
  );
}

function startBare(
  path: string,
  requestDeserialize: (bytes: Buffer) => unknown,
  responseSerialize: (reply: unknown) => Buffer,
  handler: handleUnaryCall<unknown, unknown>,
): Promise<string> {
  const server = new Server();
  const method = {
    path,
    requestStream: false,
    responseStream: false,
    requestDeserialize,
    responseSerialize,
    requestSerialize: responseSerialize,
    responseDeserialize: requestDeserialize,
  };
  server.addService({ method }, { method: handler });
  return new Promise((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
      error ? reject(error) : resolve(`127.0.0.1:${port}`),
    ),
  );
}

function startBareHttp(): Promise<string> {
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/plain', 'content-length': 3 });
    response.end('ok\n');
  });
  return new Promise((resolve) =>
    server.listen(0, '127.0.0.1', () => resolve(`127.0.0.1:${(server.address() as AddressInfo).port}`)),
  );
}

const sides: Readonly<Record<string, () => Promise<string>>> = {
  edge: () => startEdge(process.argv[3], process.argv[4]),
  http: startHttp,
  'bare-rpc': startBareRpc,
  'bare-health': startBareHealth,
  'bare-http': startBareHttp,
};

const start = sides[process.argv[2] ?? ''];
if (!start) throw new Error(`one of ${Object.keys(sides).join(', ')}`);
console.log(await start());
