import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { createFileRegistry, type DescFile, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from '@bufbuild/protobuf/wkt';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createClient } from '../../src/client/client.ts';
import { ServerReflection } from '../../src/gen/grpc/reflection/v1/reflection_pb.ts';
import { ServerReflection as ServerReflectionAlpha } from '../../src/gen/grpc/reflection/v1alpha/reflection_pb.ts';
import { EnergyService } from '../../src/gen/homeostat/energy/v1/energy_service_pb.ts';
import { TelemetryService } from '../../src/gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { type EdgeWorld, partialBinding, startEdge, TOKEN } from './edge-world.ts';
import { BUF } from './probe-contract.ts';

const image = readFileSync(new URL('../../src/gen/descriptors.binpb', import.meta.url));
const set = fromBinary(FileDescriptorSetSchema, image);
const registry = createFileRegistry(set);

let world: EdgeWorld;
beforeAll(async () => {
  world = await startEdge({
    config: { reflection: true },
    bindings: [
      partialBinding(EnergyService, {
        getMap: ({ stream, at }) => ({
          map: { ...(stream && { stream }), ...(at && { start: at }) },
        }),
      }),
      partialBinding(TelemetryService, {
        submitBatch: ({ batch }) => ({ ack: { sourceId: `${batch!.sourceId} ${batch!.labels['rack']}` } }),
      }),
    ],
  });
});
afterAll(() => world.stop());

type Version = typeof ServerReflection | typeof ServerReflectionAlpha;
type Question = { case: string; value: unknown };

/** Answers to questions asked on one stream. */
async function ask(questions: readonly Question[], version: Version = ServerReflection) {
  const client = createClient(version as typeof ServerReflection, world.channelWith(undefined));
  const requests = async function* () {
    for (const messageRequest of questions) yield { host: 'here', messageRequest: messageRequest as never };
  };
  const answers = [];
  for await (const answer of client.serverReflectionInfo(requests())) answers.push(answer);
  return answers;
}

async function filesOf(question: Question, version?: Version): Promise<Uint8Array[]> {
  const [answer] = await ask([question], version);
  if (answer?.messageResponse.case !== 'fileDescriptorResponse')
    throw new Error(JSON.stringify(answer?.messageResponse.value));
  return answer.messageResponse.value.fileDescriptorProto;
}

/** Bytes of each file as they lie in the image, found without a protobuf library. */
function slices(): Map<string, Buffer> {
  const found = new Map<string, Buffer>();
  for (let at = 0; at < image.length; ) {
    expect(image[at]).toBe(0x0a);
    let length = 0;
    let shift = 0;
    let byte: number;
    at++;
    do {
      byte = image[at++]!;
      length |= (byte & 0x7f) << shift;
      shift += 7;
    } while (byte & 0x80);
    const bytes = image.subarray(at, at + length);
    found.set(fromBinary(FileDescriptorProtoSchema, bytes).name, bytes);
    at += length;
  }
  return found;
}

/** Every symbol a file defines. */
function symbolsOf(file: DescFile): string[] {
  const symbols: string[] = [];
  const addMessage = (message: DescFile['messages'][number]) => {
    symbols.push(
      message.typeName,
      ...message.proto.field.map((field) => `${message.typeName}.${field.name}`),
    );
    for (const nested of message.nestedMessages) addMessage(nested);
    for (const nested of message.nestedEnums) symbols.push(nested.typeName);
    for (const extension of message.nestedExtensions) symbols.push(extension.typeName);
  };
  for (const message of file.messages) addMessage(message);
  for (const type of file.enums) {
    const scope = type.typeName.slice(0, -type.name.length);
    symbols.push(type.typeName, ...type.values.map((value) => scope + value.name));
  }
  for (const extension of file.extensions) symbols.push(extension.typeName);
  for (const service of file.services)
    symbols.push(service.typeName, ...service.methods.map((method) => `${service.typeName}.${method.name}`));
  return symbols;
}

describe.each([
  ['v1', ServerReflection],
  ['v1alpha', ServerReflectionAlpha],
])('reflection %s', (_name, version: Version) => {
  test('gives the bytes of the image for every file, by name and by every symbol', async () => {
    const expected = slices();
    expect(expected.size).toBe(set.file.length);
    for (const file of registry.files) {
      const name = `${file.name}.proto`;
      const bytes = expected.get(name)!;
      const questions: Question[] = [
        { case: 'fileByFilename', value: name },
        ...symbolsOf(file).map((value) => ({ case: 'fileContainingSymbol', value })),
      ];
      const answers = await ask(questions, version);
      expect(answers).toHaveLength(questions.length);
      for (const [i, { messageResponse }] of answers.entries()) {
        if (messageResponse.case !== 'fileDescriptorResponse')
          throw new Error(`no file for ${questions[i]!.value}`);
        expect(Buffer.from(messageResponse.value.fileDescriptorProto[0]!).equals(bytes)).toBe(true);
      }
    }
  });

  test('sends a file with all it imports, each once per stream', async () => {
    const question = { case: 'fileByFilename', value: 'homeostat/energy/v1/energy_service.proto' };
    const files = (await filesOf(question, version)).map((bytes) =>
      fromBinary(FileDescriptorProtoSchema, bytes),
    );
    const names = new Set(files.map((file: FileDescriptorProto) => file.name));
    expect(names.size).toBe(files.length);
    for (const file of files) for (const name of file.dependency) expect(names).toContain(name);
    const [, second] = await ask([question, question], version);
    expect(second!.messageResponse.value).toMatchObject({ fileDescriptorProto: { length: 1 } });
  });

  test('lists the services the server has, and no others', async () => {
    const [answer] = await ask([{ case: 'listServices', value: '' }], version);
    expect(answer!.messageResponse.value).toMatchObject({
      service: [
        { name: 'grpc.health.v1.Health' },
        { name: 'grpc.reflection.v1.ServerReflection' },
        { name: 'grpc.reflection.v1alpha.ServerReflection' },
        { name: 'homeostat.energy.v1.EnergyService' },
        { name: 'homeostat.telemetry.v1.TelemetryService' },
      ],
    });
    expect(answer).toMatchObject({ validHost: 'here', originalRequest: { host: 'here' } });
  });

  test('finds extensions by type and number', async () => {
    const containingType = 'google.protobuf.FieldOptions';
    const [numbers, file, missing] = await ask(
      [
        { case: 'allExtensionNumbersOfType', value: containingType },
        { case: 'fileContainingExtension', value: { containingType, extensionNumber: 50102 } },
        { case: 'fileContainingExtension', value: { containingType, extensionNumber: 1 } },
      ],
      version,
    );
    expect(numbers!.messageResponse.value).toMatchObject({
      baseTypeName: containingType,
      extensionNumber: [50102],
    });
    if (file!.messageResponse.case !== 'fileDescriptorResponse') throw new Error('no file');
    const first = fromBinary(FileDescriptorProtoSchema, file!.messageResponse.value.fileDescriptorProto[0]!);
    expect(first.name).toBe('homeostat/options/v1/field.proto');
    expect(missing!.messageResponse).toMatchObject({ case: 'errorResponse', value: { errorCode: 5 } });
  });

  test.each<[string, Question, number]>([
    ['a file', { case: 'fileByFilename', value: 'nothing.proto' }, 5],
    ['a symbol', { case: 'fileContainingSymbol', value: 'homeostat.Nothing' }, 5],
    ['a type', { case: 'allExtensionNumbersOfType', value: 'homeostat.Nothing' }, 5],
  ])('answers %s nobody knows on the stream, which goes on', async (_what, question, errorCode) => {
    const answers = await ask([question, { case: 'listServices', value: '' }], version);
    expect(answers[0]!.messageResponse).toMatchObject({ case: 'errorResponse', value: { errorCode } });
    expect(answers[1]!.messageResponse.case).toBe('listServicesResponse');
  });
});

describe('the image', () => {
  test('is canonical: decoding and encoding it changes nothing', () => {
    expect(Buffer.from(toBinary(FileDescriptorSetSchema, set)).length).toBe(image.length);
  });
});

describe('buf curl, with no files', () => {
  const curl = (path: string, body: unknown, ...more: string[]) =>
    promisify(execFile)(BUF, [
      'curl',
      '--protocol',
      'grpc',
      '--http2-prior-knowledge',
      '--header',
      `authorization: Bearer ${TOKEN}`,
      '--data',
      JSON.stringify(body),
      ...more,
      `http://${world.address}/${path}`,
    ]);

  test('calls a method with a Timestamp and imported types', async () => {
    const { stdout } = await curl('homeostat.energy.v1.EnergyService/GetMap', {
      stream: { domain: 'plant', cluster: 'a' },
      at: '2026-01-01T00:00:00Z',
    });
    expect(JSON.parse(stdout)).toMatchObject({
      map: { stream: { domain: 'plant', cluster: 'a' }, start: '2026-01-01T00:00:00Z' },
    });
  });

  test('calls a method with a map', async () => {
    const batch = {
      sourceId: 'meter',
      epoch: 1,
      sequence: 1,
      domain: 'plant',
      cluster: 'a',
      node: 'n',
      baseTime: '2026-01-01T00:00:00Z',
      labels: { rack: 'r7' },
    };
    const { stdout } = await curl('homeostat.telemetry.v1.TelemetryService/SubmitBatch', { batch });
    expect(JSON.parse(stdout)).toEqual({ ack: { sourceId: 'meter r7' } });
  });

  test('shows the reason and the path of a broken field', async () => {
    const failed = curl('homeostat.energy.v1.EnergyService/GetMap', {
      stream: { domain: 'no spaces', cluster: 'a' },
    });
    await expect(failed).rejects.toMatchObject({
      stderr: expect.stringContaining('FIELD_INVALID: stream.domain: must match [A-Za-z0-9_-]{1,64}'),
    });
  });

  test('asks for health', async () => {
    const { stdout } = await curl('grpc.health.v1.Health/Check', {});
    expect(JSON.parse(stdout)).toEqual({ status: 'SERVING' });
  });

  test('lists what the server has', async () => {
    const { stdout } = await promisify(execFile)(BUF, [
      'curl',
      '--protocol',
      'grpc',
      '--http2-prior-knowledge',
      '--list-methods',
      `http://${world.address}`,
    ]);
    expect(stdout).toContain('homeostat.energy.v1.EnergyService/GetMap');
  });
});
