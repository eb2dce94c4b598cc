/** The contract in `contract/`, built by buf from its text, with a typed client of its service. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  createFileRegistry,
  type DescMessage,
  type DescService,
  type FileRegistry,
  fromBinary,
} from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import type { Channel } from '../../src/client/channel.ts';
import { type CallOptions, createClient } from '../../src/client/client.ts';
import type { Call, Handlers, ServiceBinding } from '../../src/rpc/handler.ts';
import { partialBinding } from './edge-world.ts';

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));
export const BUF = at('../../node_modules/.bin/buf');

export interface EchoRequest {
  text: string;
  number: number;
}
export interface Free {
  text?: string;
  next?: Free;
  others?: Record<string, Free>;
}
export interface WeighRequest {
  items: number[];
}
export interface EchoResponse {
  text: string;
  payload: Uint8Array;
}

/** What a test answers with. */
export interface ProbeHandlers {
  echo(request: EchoRequest, call: Call): Partial<EchoResponse> | Promise<Partial<EchoResponse>>;
  record(request: EchoRequest, call: Call): Partial<EchoResponse> | Promise<Partial<EchoResponse>>;
  greet(request: EchoRequest, call: Call): Partial<EchoResponse> | Promise<Partial<EchoResponse>>;
  count(request: EchoRequest, call: Call): AsyncIterable<Partial<EchoResponse>>;
  tail(request: EchoRequest, call: Call): AsyncIterable<Partial<EchoResponse>>;
  beat(request: EchoRequest, call: Call): Partial<EchoResponse> | Promise<Partial<EchoResponse>>;
  mirror(request: Free, call: Call): Free;
  weigh(request: WeighRequest, call: Call): Partial<EchoResponse> | Promise<Partial<EchoResponse>>;
  sum(requests: AsyncIterable<EchoRequest>, call: Call): Promise<Partial<EchoResponse>>;
  chat(requests: AsyncIterable<EchoRequest>, call: Call): AsyncIterable<Partial<EchoResponse>>;
}

type Asked = Partial<EchoRequest>;

export interface ProbeClient {
  echo(request: Asked, options?: CallOptions): Promise<EchoResponse>;
  record(request: Asked, options?: CallOptions): Promise<EchoResponse>;
  greet(request: Asked, options?: CallOptions): Promise<EchoResponse>;
  count(request: Asked, options?: CallOptions): AsyncIterable<EchoResponse>;
  tail(request: Asked, options?: CallOptions): AsyncIterable<EchoResponse>;
  beat(request: Asked, options?: CallOptions): Promise<EchoResponse>;
  mirror(request: Free, options?: CallOptions): Promise<Free>;
  weigh(request: WeighRequest, options?: CallOptions): Promise<EchoResponse>;
  sum(requests: AsyncIterable<Asked>, options?: CallOptions): Promise<EchoResponse>;
  chat(requests: AsyncIterable<Asked>, options?: CallOptions): AsyncIterable<EchoResponse>;
}

export const registry: FileRegistry = buildRegistry();
export const ProbeService: DescService = registry.getService('homeostat.probe.v1.ProbeService')!;

/** A message type of the contract, by its name without package. */
export function probeMessage(name: string): DescMessage {
  return registry.getMessage(`homeostat.probe.v1.${name}`)!;
}

/** Binds some of the service's handlers; the others throw. */
export function probeBinding(handlers: Partial<ProbeHandlers>): ServiceBinding {
  return partialBinding(ProbeService, handlers as Partial<Handlers<DescService>>);
}

export function probeClient(channel: Channel): ProbeClient {
  return createClient(ProbeService, channel) as unknown as ProbeClient;
}

function buildRegistry(): FileRegistry {
  const folder = mkdtempSync(join(tmpdir(), 'homeostat-probe-'));
  try {
    cpSync(at('contract'), folder, { recursive: true });
    for (const part of ['homeostat/options', 'homeostat/type'])
      cpSync(at(`../../proto/${part}`), join(folder, part), { recursive: true });
    const set = execFileSync(BUF, ['build', folder, '--as-file-descriptor-set', '--output', '-']);
    return createFileRegistry(fromBinary(FileDescriptorSetSchema, set));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
