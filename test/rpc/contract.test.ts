/** What holds for every RPC of every contract, found by walking the descriptors. */
import { type DescEnum, type DescMethod, getOption, hasOption } from '@bufbuild/protobuf';
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
import { byPath, methods, ownMethods, pathOf } from '../support/contract.ts';
import { type EdgeWorld, partialBinding, startEdge } from './edge-world.ts';

const servicesOf = (found: readonly DescMethod[]) => [...new Set(found.map(({ parent }) => parent))];
/** Those of published services that contexts answer; the edge answers the others by itself. */
const published = methods.filter(({ parent }) => parent.typeName.startsWith('opentelemetry.'));
const named = byPath(ownMethods);

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
    expect(servicesOf(ownMethods).length).toBeGreaterThanOrEqual(13);
    expect(ownMethods.length).toBeGreaterThanOrEqual(80);
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

  test.each(named)('%s costs by what its request has', (_name, method) => {
    expect(() => callCost(method, getOption(method, policy).cost!)).not.toThrow();
  });

  test('of other contracts is listed, and nothing is listed that is not there', () => {
    const theirs = methods.filter((method) => !ownMethods.includes(method));
    expect([...standardMethods.keys()].sort()).toEqual(theirs.map(pathOf).sort());
  });

  test.each([...standardMethods])(
    '%s of another contract says how it is to be treated, too',
    (path, standard) => {
      const method = methods.find((found) => pathOf(found) === path)!;
      const applied = policyOf(method);
      expect(applied).toMatchObject(standard);
      expect(policyFault({ ...applied, $typeName: 'homeostat.options.v1.MethodPolicy' })).toBeUndefined();
    },
  );

  test('needs credentials, but for the public ones', () => {
    const open = methods.filter((method) => policyOf(method).public);
    expect(open.map(pathOf).sort()).toEqual(PUBLIC);
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
    const bindings = servicesOf([...ownMethods, ...published]).map((service) => partialBinding(service, {}));
    world = await startEdge({ bindings });
    client = new grpc.Client(world.address, grpc.credentials.createInsecure());
  });
  afterAll(async () => {
    client.close();
    await world.stop();
  });
  const same = (bytes: Buffer) => bytes;

  const closed = byPath([...ownMethods, ...published]).filter(([path]) => !PUBLIC.includes(path));

  test('all are asked but the public ones', () => {
    expect(closed.length + PUBLIC.length).toBe(methods.length);
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
