/**
 * One side of P10 as a process. `product <data directory> <handover file>`: the whole server as it is run, which writes
 * the paths of its key and of its producers' URL to the file; `echo`: grpc-js as it comes, answering each request with
 * the grid of its map. Prints its address and serves until it is ended.
 */
import { writeFileSync } from 'node:fs';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { readConfig } from '../src/config.ts';
import {
  type PredictRequest,
  PredictRequestSchema,
  type PredictResponse,
  PredictResponseSchema,
} from '../src/gen/homeostat/energy/v1/energy_service_pb.ts';
import { createLogger } from '../src/observability.ts';
import { UNLOADED } from '../src/rpc/load-signals.ts';
import { startServer } from '../src/server.ts';
import { PREDICT_PATH } from './predict-calls.ts';

async function startProduct(dataDir: string, handover: string): Promise<string> {
  const config = readConfig({
    HOMEOSTAT_DATA_DIR: dataDir,
    HOMEOSTAT_GRPC_ADDRESS: '127.0.0.1:0',
    HOMEOSTAT_HTTP_ADDRESS: '127.0.0.1:0',
    // The whole load is one caller's: its bucket must not be what ends the measurement.
    HOMEOSTAT_RPC_RATE_ENTERPRISE: '1000000000',
  });
  // A call refused because the machine is busy would be measured as a quick one.
  const server = await startServer(config, { logger: createLogger('error'), load: UNLOADED });
  writeFileSync(handover, JSON.stringify([server.adminKeyFile, server.producerUrlFile]));
  // Its broker ends with it.
  process.once('SIGTERM', () => void server.stop().then(() => process.exit(0)));
  return server.grpcAddress;
}

function startEcho(): Promise<string> {
  const server = new Server();
  const method = {
    path: PREDICT_PATH,
    requestStream: false,
    responseStream: false,
    requestDeserialize: (bytes: Buffer) => fromBinary(PredictRequestSchema, bytes),
    responseSerialize: (reply: PredictResponse) => Buffer.from(toBinary(PredictResponseSchema, reply)),
    requestSerialize: (request: PredictRequest) => Buffer.from(toBinary(PredictRequestSchema, request)),
    responseDeserialize: (bytes: Buffer) => fromBinary(PredictResponseSchema, bytes),
  };
  server.addService(
    { method },
    {
      method: (
        { request }: { request: PredictRequest },
        callback: (error: null, reply: PredictResponse) => void,
      ) => callback(null, create(PredictResponseSchema, { prediction: request.map!.grid! })),
    },
  );
  return new Promise((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
      error ? reject(error) : resolve(`127.0.0.1:${port}`),
    ),
  );
}

const [side, dataDir = '', handover = ''] = process.argv.slice(2);
console.log(await (side === 'echo' ? startEcho() : startProduct(dataDir, handover)));
