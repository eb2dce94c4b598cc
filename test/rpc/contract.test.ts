/** What holds for every RPC of every contract, found by walking the descriptors. */
import { readFileSync } from 'node:fs';
import {
  createFileRegistry,
  type DescEnum,
  type DescMethod,
  type DescService,
  fromBinary,
  getOption,
  hasOption,
} from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import * as grpc from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ErrorReasonSchema as EdgeReasons } from '../../src/gen/homeostat/edge/v1/error_reason_pb.ts';
import { ErrorReasonSchema as IdentityReasons } from '../../src/gen/homeostat/identity/v1/error_reason_pb.ts';
import { Audit, Criticality, policy } from '../../src/gen/homeostat/options/v1/method_pb.ts';
import { identityError as accessError } from '../../src/identity/errors.ts';
import { isSummed } from '../../src/rpc/audit.ts';
import { callCost } from '../../src/rpc/cost.ts';
import { edgeError, identityError } from '../../src/rpc/errors.ts';
import { type Policy, policyFault, policyOf } from '../../src/rpc/policy.ts';
import { standardMethods } from '../../src/rpc/standard-methods.ts';
import { compileRules } from '../../src/rpc/validate.ts';
import { type EdgeWorld, partialBinding, startEdge } from './edge-world.ts';

const image = readFileSync(new URL('../../src/gen/descriptors.binpb', import.meta.url));
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, image));
const services: DescService[] = [...registry].filter((type) => type.kind === 'service');
const ours = services.filter((service) => service.typeName.startsWith('homeostat.'));
/** Published services that contexts answer; the edge answers the others by itself. */
const published = services.filter((service) => service.typeName.startsWith('opentelemetry.'));
const methods = ours.flatMap((service) => service.methods);
const byName = (found: readonly DescMethod[]) =>
  found.map((method): [string, DescMethod] => [`${method.parent.typeName}/${method.name}`, method]);
const named = byName(methods);

/** Methods that need no credentials. This list may only be added to with a reason. */
const PUBLIC = [
  'grpc.health.v1.Health/Check',
  'grpc.health.v1.Health/Watch',
  'grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
  'grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo',
  'homeostat.identity.v1.AuthService/GetJwks',
  'homeostat.identity.v1.AuthService/Login',
  'homeostat.identity.v1.AuthService/Refresh',
];

describe('every RPC', () => {
  test('is found', () => {
    expect(ours.length).toBeGreaterThanOrEqual(4);
    expect(methods.length).toBeGreaterThanOrEqual(20);
  });

  test.each(named)('%s says how it is to be treated', (_name, method) => {
    expect(hasOption(method, policy)).toBe(true);
    const declared = getOption(method, policy);
    expect(policyFault(declared)).toBeUndefined();
    if (!declared.public) expect(declared.permission).toMatch(/^[a-z]+\.[a-z]+$/);
    expect(declared.cost!.base).toBeGreaterThanOrEqual(1);
    expect(declared.audit).not.toBe(Audit.UNSPECIFIED);
    expect(declared.criticality).not.toBe(Criticality.UNSPECIFIED);
  });

  test.each(named)('%s has rules that compile', (_name, method) => {
    expect(() => compileRules(method.input)).not.toThrow();
  });

  test.each(named)('%s costs by what its request has', (_name, method) => {
    expect(() => callCost(method, getOption(method, policy).cost!)).not.toThrow();
  });

  test('of other contracts is listed, and nothing is listed that is not there', () => {
    const theirs = services.filter((service) => !ours.includes(service));
    const paths = theirs.flatMap((service) =>
      service.methods.map((method) => `${service.typeName}/${method.name}`),
    );
    expect([...standardMethods.keys()].sort()).toEqual(paths.sort());
  });

  test.each([...standardMethods])(
    '%s of another contract says how it is to be treated, too',
    (path, standard) => {
      const method = byName(services.flatMap((service) => service.methods)).find(
        ([name]) => name === path,
      )![1];
      const applied = policyOf(method);
      expect(applied).toMatchObject(standard);
      expect(policyFault({ ...applied, $typeName: 'homeostat.options.v1.MethodPolicy' })).toBeUndefined();
    },
  );

  test('needs credentials, but for the public ones', () => {
    const open = services
      .flatMap((service) => service.methods)
      .filter((method) => policyOf(method).public)
      .map((method) => `${method.parent.typeName}/${method.name}`);
    expect(open.sort()).toEqual(PUBLIC);
  });
});

describe('a policy that is not whole is refused', () => {
  const whole = { permission: 'a.b', cost: { base: 1 }, audit: Audit.NONE, criticality: Criticality.BULK };
  test.each([
    [{ ...whole, permission: '' }],
    [{ ...whole, public: true }],
    [{ ...whole, permission: 'a' }],
    [{ ...whole, permission: 'a.*' }],
    [{ ...whole, cost: undefined }],
    [{ ...whole, cost: { base: 0 } }],
    [{ ...whole, cost: { base: 1, per: 5 } }],
    [{ ...whole, audit: Audit.UNSPECIFIED }],
    [{ ...whole, criticality: Criticality.UNSPECIFIED }],
  ])('%j', (declared) => {
    const filled = {
      public: false,
      ...declared,
      cost: declared.cost && { per: 0, unit: 0, ...declared.cost },
    };
    expect(policyFault(filled as never)).toEqual(expect.any(String));
  });
});

describe('without credentials', () => {
  let world: EdgeWorld;
  let client: grpc.Client;
  beforeAll(async () => {
    const bindings = [...ours, ...published].map((service) => partialBinding(service, {}));
    world = await startEdge({ bindings });
    client = new grpc.Client(world.address, grpc.credentials.createInsecure());
  });
  afterAll(async () => {
    client.close();
    await world.stop();
  });
  const same = (bytes: Buffer) => bytes;

  const closed = [...named, ...byName(published.flatMap((service) => service.methods))].filter(
    ([name]) => !PUBLIC.includes(name),
  );

  test('all are asked but the public ones', () => {
    const all = services.flatMap((service) => service.methods).length;
    expect(closed.length + PUBLIC.length).toBe(all);
  });

  test.each(closed)('%s is UNAUTHENTICATED', async (name, method) => {
    const error = await new Promise<grpc.ServiceError>((resolve, reject) => {
      const unexpected = () => reject(new Error('it was answered'));
      if (method.methodKind === 'unary') {
        client.makeUnaryRequest(`/${name}`, same, same, Buffer.alloc(0), (failed) =>
          failed ? resolve(failed) : unexpected(),
        );
        return;
      }
      const call =
        method.methodKind === 'server_streaming'
          ? client.makeServerStreamRequest(`/${name}`, same, same, Buffer.alloc(0))
          : client.makeBidiStreamRequest(`/${name}`, same, same);
      call.on('data', unexpected).on('error', (failed) => resolve(failed as grpc.ServiceError));
    });
    expect(error.code).toBe(grpc.status.UNAUTHENTICATED);
    expect(error.details).toMatch(/^MISSING_CREDENTIALS: /);
  });
});

describe('error tables', () => {
  const reasons = (type: DescEnum) =>
    type.values
      .map((value) => value.name.replace('ERROR_REASON_', ''))
      .filter((name) => name !== 'UNSPECIFIED');

  test('of the edge and of identity hold exactly the reasons of their contracts', () => {
    expect(Object.keys(edgeError.table).sort()).toEqual(reasons(EdgeReasons).sort());
    const ofIdentity = [...Object.keys(identityError.table), ...Object.keys(accessError.table)];
    expect(ofIdentity.sort()).toEqual(reasons(IdentityReasons).sort());
  });
});

describe('calls without an entry of their own in the audit trail', () => {
  test.each([
    [Audit.NONE, 'OK', false],
    [Audit.BATCHED, 'OK', true],
    [Audit.REQUIRED, 'OK', false], // It has an entry of its own.
    [Audit.NONE, 'UNAVAILABLE', false],
    [Audit.NONE, 'UNAUTHENTICATED', true],
    [Audit.NONE, 'PERMISSION_DENIED', true],
    [Audit.BATCHED, 'UNAVAILABLE', true],
    [Audit.REQUIRED, 'RESOURCE_EXHAUSTED', true],
  ])('of audit %d that end %s are counted: %s', (audit, code, counted) => {
    expect(isSummed({ audit } as Policy, code)).toBe(counted);
  });
});
