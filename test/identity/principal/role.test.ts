import { readFileSync } from 'node:fs';
import { createFileRegistry, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { describe, expect, test } from '@jest/globals';
import { accessOf } from '../../../src/identity/principal/access.ts';
import { accessMatrix } from '../../../src/identity/principal/matrix.ts';
import {
  matches,
  meaningOf,
  PERMISSIONS,
  READS_OUTSIDE_IDENTITY,
} from '../../../src/identity/principal/permission.ts';
import { BUILT_IN_ROLES, firstUnknownRule, roleGraph } from '../../../src/identity/principal/role.ts';
import { policyOf } from '../../../src/rpc/policy.ts';

const graph = roleGraph([]);
const may = (role: string) => {
  const access = accessOf(graph, [role], undefined);
  return PERMISSIONS.filter((permission) => access.allows(permission));
};

describe('permissions', () => {
  test('every permission that an RPC needs is in the table', () => {
    const set = fromBinary(FileDescriptorSetSchema, readFileSync('src/gen/descriptors.binpb'));
    const needed = [...createFileRegistry(set)].flatMap((type) =>
      type.kind === 'service' && type.typeName.startsWith('homeostat.')
        ? type.methods.map((method) => policyOf(method).permission).filter((permission) => permission !== '')
        : [],
    );
    expect(needed.length).toBeGreaterThan(20);
    expect(needed.filter((permission) => !PERMISSIONS.includes(permission))).toEqual([]);
  });

  test('no permission is named twice, and a rule means what it matches', () => {
    expect(new Set(PERMISSIONS).size).toBe(PERMISSIONS.length);
    expect(meaningOf('*.*')).toEqual(PERMISSIONS);
    expect(meaningOf('session.*')).toEqual([
      'session.read',
      'session.write',
      'session.operate',
      'session.admin',
    ]);
    expect(meaningOf('*.export')).toEqual(['recording.export', 'audit.export']);
    expect(meaningOf('energy.sample')).toEqual([]);
    expect(matches('work.*', 'network.read')).toBe(false);
  });

  test('a rule about nothing there is is found', () => {
    expect(firstUnknownRule(['*.read', 'self.*', 'energy.read'])).toBeUndefined();
    expect(firstUnknownRule(['*.read', 'credential.read'])).toBe('credential.read');
    expect(firstUnknownRule(['*.frobnicate'])).toBe('*.frobnicate');
  });
});

describe('built-in roles', () => {
  test('they are those that the product promises, and every rule of theirs means something', () => {
    expect(BUILT_IN_ROLES.map((role) => role.name)).toEqual([
      'viewer',
      'researcher',
      'developer',
      'operator',
      'admin',
      'node',
      'service',
    ]);
    for (const { allow, deny } of BUILT_IN_ROLES)
      expect(firstUnknownRule([...allow, ...deny])).toBeUndefined();
  });

  test('a viewer reads everything but what identity keeps', () => {
    expect(may('viewer')).toEqual(
      PERMISSIONS.filter((one) => READS_OUTSIDE_IDENTITY.includes(one) || one === 'self.write'),
    );
    for (const permission of ['token.read', 'user.read', 'audit.read'])
      expect(may('viewer')).not.toContain(permission);
  });

  test('who inherits has more, and an admin has everything', () => {
    for (const [less, more] of [
      ['viewer', 'researcher'],
      ['researcher', 'developer'],
      ['viewer', 'operator'],
      ['developer', 'service'],
    ] as const) {
      expect(may(more)).toEqual(expect.arrayContaining(may(less)));
      expect(may(more).length).toBeGreaterThan(may(less).length);
    }
    expect(may('admin')).toEqual(PERMISSIONS);
  });

  test('each role adds what its line of the table says', () => {
    const added = (role: string, ...from: readonly string[]) =>
      may(role).filter((one) => !from.some((other) => may(other).includes(one)));
    expect(added('researcher', 'viewer')).toEqual([
      'energy.compute',
      'diffusion.sample',
      'diffusion.fit',
      'resilience.analyze',
      'memory.write',
    ]);
    expect(added('developer', 'researcher')).toEqual([
      'telemetry.write',
      'proof.issue',
      'incident.write',
      'twin.write',
      'market.write',
      'session.write',
      'recording.write',
      'recording.export',
      'desktop.write',
      'credential.write',
    ]);
    expect(added('operator', 'viewer')).toEqual([
      'energy.compute',
      'energy.operate',
      'proof.issue',
      'resilience.analyze',
      'resilience.operate',
      'incident.write',
      'incident.operate',
      'policy.operate',
      'twin.write',
      'node.write',
      'node.operate',
      'pool.write',
      'payout.operate',
      'market.write',
      'market.operate',
      'session.write',
      'session.operate',
      'session.admin',
      'desktop.write',
      'desktop.operate',
      'credential.write',
    ]);
    expect(added('service', 'developer')).toEqual(['entry.write', 'witness.write', 'token.read']);
    expect(may('node')).toEqual([
      'telemetry.write',
      'node.read',
      'pool.read',
      'work.read',
      'payout.read',
      'agent.write',
      'market.read',
      'market.write',
      'session.read',
      'recording.write',
    ]);
  });

  test('a service never administers, a node neither that nor operates, whatever else it is', () => {
    const verbs = (roles: string[]) => {
      const access = accessOf(graph, roles, undefined);
      return new Set(PERMISSIONS.filter((one) => access.allows(one)).map((one) => one.split('.')[1]));
    };
    expect(verbs(['admin', 'service'])).not.toContain('admin');
    expect(verbs(['admin', 'service'])).toContain('operate');
    expect(verbs(['admin', 'node'])).not.toContain('admin');
    expect(verbs(['admin', 'node'])).not.toContain('operate');
  });
});

test('the matrix says of each RPC and each role whether it is let in', () => {
  const methods = new Map([
    ['b.B/Read', { permission: 'energy.read', public: false }],
    ['a.A/Admin', { permission: 'user.admin', public: false }],
    ['b.B/Open', { permission: '', public: true }],
  ]);
  const roles = BUILT_IN_ROLES.filter((role) =>
    ['viewer', 'researcher', 'developer', 'operator', 'admin'].includes(role.name),
  );
  expect(accessMatrix(methods, roles)).toBe(
    [
      '| RPC | permission | viewer | researcher | developer | operator | admin |',
      '| --- | --- | --- | --- | --- | --- | --- |',
      '| `a.A/Admin` | `user.admin` |  |  |  |  | yes |',
      '| `b.B/Open` | public | yes | yes | yes | yes | yes |',
      '| `b.B/Read` | `energy.read` | yes | yes | yes | yes | yes |',
      '',
    ].join('\n'),
  );
});
