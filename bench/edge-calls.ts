/** The calls that P3 and P4 make, as both sides and the load generators know them. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import {
  GetMapRequestSchema,
  type GetMapResponseSchema,
} from '../src/gen/homeostat/energy/v1/energy_service_pb.ts';

export const GET_MAP_PATH = '/homeostat.energy.v1.EnergyService/GetMap';
export const HEALTH_PATH = '/grpc.health.v1.Health/Check';

/** A map of 8 x 8 cells. */
export const mapReply: MessageInitShape<typeof GetMapResponseSchema> = {
  map: { grid: { rows: 8, cols: 8, values: Array.from({ length: 64 }, (_, i) => i / 64) } },
};

/** A request with a rule on each of its fields. */
export const getMapRequest: Uint8Array = toBinary(
  GetMapRequestSchema,
  create(GetMapRequestSchema, { stream: { domain: 'plant-7', cluster: 'press-line' }, level: 1 }),
);

export const rpcHeaders = { 'content-type': 'application/grpc', te: 'trailers' };

/** The headers of calls with credentials. */
export function callHeaders(token: string): Record<string, string> {
  return { ...rpcHeaders, authorization: `Bearer ${token}` };
}

/** A message with gRPC's five bytes before it. */
export function framed(message: Uint8Array): Buffer {
  const frame = Buffer.alloc(5 + message.length);
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, 5);
  return frame;
}

/** Runs `use` with a file that holds a framed message. */
export async function withBodyFile<Result>(
  message: Uint8Array,
  use: (path: string) => Promise<Result>,
): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), 'homeostat-bench-'));
  try {
    const path = join(folder, 'body');
    writeFileSync(path, framed(message));
    return await use(path);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
