/** Every RPC of the contract, from the descriptors that reflection serves, and a way to call any of them. */
import { readFileSync } from 'node:fs';
import {
  createFileRegistry,
  type DescMethod,
  type DescMethodBiDiStreaming,
  type DescMethodClientStreaming,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  fromBinary,
  type Message,
} from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import type { CallOptions, Channel } from '../../src/client/client.ts';

const image = readFileSync(new URL('../../src/gen/descriptors.binpb', import.meta.url));

export const types = [...createFileRegistry(fromBinary(FileDescriptorSetSchema, image))];

/** Of every service, those of published standards included. */
export const methods: readonly DescMethod[] = types
  .filter((type) => type.kind === 'service')
  .flatMap((service) => service.methods);

/** Of Homeostat's own services. */
export const ownMethods = methods.filter((method) => method.parent.typeName.startsWith('homeostat.'));

/** `homeostat.energy.v1.EnergyService/GetMap`. */
export const pathOf = (method: DescMethod): string => `${method.parent.typeName}/${method.name}`;

/** Rows of `test.each`. */
export const byPath = (found: readonly DescMethod[]) =>
  found.map((method): [string, DescMethod] => [pathOf(method), method]);

/** Narrowed by its kind, as DescMethod is not. */
type AnyMethod =
  | DescMethodUnary
  | DescMethodServerStreaming
  | DescMethodClientStreaming
  | DescMethodBiDiStreaming;

/** Calls a method of any kind with one request; what it answers, one after the other. */
export async function* answersOf(
  channel: Channel,
  method: DescMethod,
  request: Message,
  options: CallOptions = {},
): AsyncGenerator<Message> {
  async function* once() {
    yield request;
  }
  const rpc = method as AnyMethod;
  if (rpc.methodKind === 'unary') yield await channel.unary(rpc, request, options);
  else if (rpc.methodKind === 'client_streaming') yield await channel.clientStream(rpc, once(), options);
  else if (rpc.methodKind === 'server_streaming') yield* channel.serverStream(rpc, request, options);
  else yield* channel.bidiStream(rpc, once(), options);
}
