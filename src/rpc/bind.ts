/**
 * Adapts services, described by protobuf-es, to grpc-js once: paths, kinds and the wrapped handlers. grpc-js hands
 * over and takes plain bytes; decoding comes after the checks, so what a stranger sends is not even decoded.
 */
import type { DescMethod, DescService } from '@bufbuild/protobuf';
import type { ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import type { Edge } from './edge.ts';
import type { ServiceBinding } from './handler.ts';
import { bytesCodec, type Codec, contractCodec, createMethod, type Method } from './method.ts';
import { serve } from './serve-call.ts';

/** A service in grpc-js's terms. */
export interface BoundService {
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
  readonly methods: readonly Method[];
}

/**
 * Binds a service. Throws an Error when a method has no handler or no policy: what is in the contract works. `codec`
 * replaces the contract's messages.
 */
export function bindService(edge: Edge, binding: ServiceBinding, codec?: Codec): BoundService {
  const definition: Record<string, ServiceDefinition[string]> = {};
  const implementation: UntypedServiceImplementation = {};
  const methods: Method[] = [];
  for (const desc of binding.service.methods) {
    const handler = binding.handlers[desc.localName];
    if (typeof handler !== 'function')
      throw new Error(`${binding.service.typeName}/${desc.name} has no handler`);
    const unchecked = binding.selfChecking?.includes(desc.localName) ?? false;
    const contract = codec ?? contractCodec(desc, edge.limits.sendBytesMax, unchecked);
    const undecoded = binding.selfDecoding?.includes(desc.localName) ?? false;
    const method = createMethod(
      desc,
      handler as Method['handler'],
      undecoded ? { ...bytesCodec, write: contract.write } : contract,
    );
    if (undecoded && method.cost.needsRequest)
      throw new Error(`${method.path} decodes by itself, so its cost cannot grow with what it decodes`);
    definition[desc.name] = definitionOf(binding.service, desc);
    implementation[desc.name] = serve(edge, method);
    methods.push(method);
  }
  return { definition, implementation, methods };
}

function definitionOf(service: DescService, desc: DescMethod): ServiceDefinition[string] {
  const same = (bytes: Buffer) => bytes;
  return {
    path: `/${service.typeName}/${desc.name}`,
    requestStream: desc.methodKind === 'client_streaming' || desc.methodKind === 'bidi_streaming',
    responseStream: desc.methodKind === 'server_streaming' || desc.methodKind === 'bidi_streaming',
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
}
