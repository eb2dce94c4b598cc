/**
 * Server reflection, v1 and v1alpha: serves the descriptors that buf made, byte for byte, so that `grpcurl` and
 * `buf curl` need no files. A file goes out with the files it imports, each import once per stream.
 */
import { readFileSync } from 'node:fs';
import { fromBinary, type MessageInitShape } from '@bufbuild/protobuf';
import { BinaryReader } from '@bufbuild/protobuf/wire';
import {
  type DescriptorProto,
  type EnumDescriptorProto,
  type FieldDescriptorProto,
  FileDescriptorProtoSchema,
} from '@bufbuild/protobuf/wkt';
import { status } from '@grpc/grpc-js';
import {
  ServerReflection,
  type ServerReflectionRequest,
  type ServerReflectionResponseSchema,
} from '../gen/grpc/reflection/v1/reflection_pb.ts';
import { ServerReflection as ServerReflectionAlpha } from '../gen/grpc/reflection/v1alpha/reflection_pb.ts';
import { type ServiceBinding, serviceBinding } from './handler.ts';

/** The descriptors of the contracts, as they lie beside the generated code. */
export function readDescriptors(): Uint8Array {
  return readFileSync(new URL('../gen/descriptors.binpb', import.meta.url));
}

interface File {
  readonly name: string;
  /** A serialized FileDescriptorProto, as it lies in the set. */
  readonly bytes: Uint8Array;
  readonly imports: readonly string[];
}

interface Index {
  readonly files: Map<string, File>;
  /** The file of each message, field, oneof, enum, value, service, method and extension. */
  readonly symbols: Map<string, File>;
  /** By extended type, then by number. */
  readonly extensions: Map<string, Map<number, File>>;
}

type Question = ServerReflectionRequest['messageRequest'];
type Answer = NonNullable<MessageInitShape<typeof ServerReflectionResponseSchema>['messageResponse']>;

/**
 * The service of both versions, which differ in nothing but their names: v1alpha is to be bound with v1's messages.
 * `descriptors` is a serialized google.protobuf.FileDescriptorSet; `services` are those the server has.
 */
export function reflectionBindings(
  descriptors: Uint8Array,
  services: readonly string[],
): { readonly v1: ServiceBinding; readonly v1alpha: ServiceBinding } {
  const index = indexFiles(descriptors);
  const v1 = serviceBinding(ServerReflection, {
    async *serverReflectionInfo(requests) {
      const sent = new Set<string>();
      for await (const request of requests) {
        const messageResponse = answer(index, services, request.messageRequest, sent);
        yield { validHost: request.host, originalRequest: request, messageResponse };
      }
    },
  });
  return { v1, v1alpha: { ...v1, service: ServerReflectionAlpha } };
}

function answer(index: Index, services: readonly string[], question: Question, sent: Set<string>): Answer {
  switch (question.case) {
    case 'fileByFilename':
      return fileAnswer(index, index.files.get(question.value), question.value, sent);
    case 'fileContainingSymbol':
      return fileAnswer(index, index.symbols.get(question.value), question.value, sent);
    case 'fileContainingExtension': {
      const { containingType, extensionNumber } = question.value;
      const file = index.extensions.get(containingType)?.get(extensionNumber);
      return fileAnswer(index, file, `extension ${extensionNumber} of ${containingType}`, sent);
    }
    case 'allExtensionNumbersOfType': {
      const baseTypeName = question.value;
      if (!index.symbols.has(baseTypeName)) return notFound(baseTypeName);
      const extensionNumber = [...(index.extensions.get(baseTypeName)?.keys() ?? [])].sort((a, b) => a - b);
      return { case: 'allExtensionNumbersResponse', value: { baseTypeName, extensionNumber } };
    }
    case 'listServices':
      return { case: 'listServicesResponse', value: { service: services.map((name) => ({ name })) } };
    default:
      return {
        case: 'errorResponse',
        value: { errorCode: status.INVALID_ARGUMENT, errorMessage: 'the question is not known here' },
      };
  }
}

function notFound(what: string): Answer {
  return {
    case: 'errorResponse',
    value: { errorCode: status.NOT_FOUND, errorMessage: `${what} is not known here` },
  };
}

/** The file asked for, always, and those of its imports that this stream has not had. */
function fileAnswer(index: Index, asked: File | undefined, what: string, sent: Set<string>): Answer {
  if (!asked) return notFound(what);
  const bytes = [asked.bytes];
  sent.add(asked.name);
  const queue = [...asked.imports];
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
    const file = index.files.get(name);
    if (!file || sent.has(name)) continue;
    sent.add(name);
    bytes.push(file.bytes);
    queue.push(...file.imports);
  }
  return { case: 'fileDescriptorResponse', value: { fileDescriptorProto: bytes } };
}

function indexFiles(descriptors: Uint8Array): Index {
  const index: Index = { files: new Map(), symbols: new Map(), extensions: new Map() };
  const reader = new BinaryReader(descriptors);
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (number !== 1) reader.skip(wireType);
    else indexFile(index, reader.bytes());
  }
  return index;
}

function indexFile(index: Index, bytes: Uint8Array): void {
  const proto = fromBinary(FileDescriptorProtoSchema, bytes);
  const file: File = { name: proto.name, bytes, imports: proto.dependency };
  const scope = proto.package === '' ? '' : `${proto.package}.`;
  const add = (name: string) => index.symbols.set(name, file);

  const addEnum = (within: string, type: EnumDescriptorProto) => {
    add(within + type.name);
    for (const value of type.value) add(within + value.name); // Values are siblings of their enum.
  };
  const addExtension = (within: string, field: FieldDescriptorProto) => {
    add(within + field.name);
    const extended = field.extendee.replace(/^\./, '');
    const numbers = index.extensions.get(extended) ?? new Map<number, File>();
    index.extensions.set(extended, numbers.set(field.number, file));
  };
  const addMessage = (within: string, type: DescriptorProto) => {
    add(within + type.name);
    const inside = `${within}${type.name}.`;
    for (const member of [...type.field, ...type.oneofDecl]) add(inside + member.name);
    for (const nested of type.nestedType) addMessage(inside, nested);
    for (const nested of type.enumType) addEnum(inside, nested);
    for (const extension of type.extension) addExtension(inside, extension);
  };

  index.files.set(file.name, file);
  for (const type of proto.messageType) addMessage(scope, type);
  for (const type of proto.enumType) addEnum(scope, type);
  for (const extension of proto.extension) addExtension(scope, extension);
  for (const service of proto.service) {
    add(scope + service.name);
    for (const method of service.method) add(`${scope}${service.name}.${method.name}`);
  }
}
