/**
 * Every RPC of a running server, called by somebody of every built-in role and by nobody. The requests are bytes of no
 * message, so that a call that is let in is refused for them (MALFORMED) and changes nothing: permission comes first.
 */
import { readFileSync } from 'node:fs';
import type { DescMethod } from '@bufbuild/protobuf';
import * as grpc from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { PrincipalKind, Tier } from '../../src/gen/homeostat/identity/v1/user_service_pb.ts';
import { policyOf } from '../../src/rpc/policy.ts';
import { byPath, methods, pathOf } from '../support/contract.ts';
import { startWorld, type World } from '../support/world.ts';

/** docs/access.md: a row per RPC, a column per role, `yes` where the role allows it. */
const [head, , ...rows] = readFileSync(new URL('../../docs/access.md', import.meta.url), 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('|'))
  .map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim().replaceAll('`', '')),
  );
const roles = head!.slice(2);
const matrix = new Map(rows.map(([path, , ...cells]) => [path!, cells]));

describe('access to a running server', () => {
  let world: World;
  let client: grpc.Client;
  const tokens = new Map<string, string>();

  beforeAll(async () => {
    world = await startWorld();
    client = new grpc.Client(world.server.grpcAddress, grpc.credentials.createInsecure());
    for (const role of roles) {
      const { user } = await world.clients.users.createUser({
        username: `svc-${role}`,
        kind: PrincipalKind.SERVICE,
        roles: [role],
        tier: Tier.ENTERPRISE,
        idempotencyKey: `user-${role}`,
      });
      const { accessToken } = await world.clients.auth.issueToken({
        principalId: user!.id,
        idempotencyKey: `token-${role}`,
      });
      tokens.set(role, accessToken);
    }
  }, 60_000);
  afterAll(async () => {
    client?.close();
    await world?.stop();
  });

  const garbage = Buffer.from([0xff]);
  const same = (bytes: Buffer) => bytes;
  /** Calls with bytes of no message; resolves with the code and the reason. */
  const call = (method: DescMethod, token: string | undefined): Promise<string> => {
    const metadata = new grpc.Metadata();
    if (token !== undefined) metadata.set('authorization', `Bearer ${token}`);
    const path = `/${pathOf(method)}`;
    return new Promise((resolve, reject) => {
      const ended = (error: grpc.ServiceError | null) =>
        error
          ? resolve(`${grpc.status[error.code]} ${error.details.split(':')[0]}`)
          : reject(new Error('OK'));
      if (method.methodKind === 'unary') {
        client.makeUnaryRequest(path, same, same, garbage, metadata, ended);
        return;
      }
      const answered = () => reject(new Error('it was answered'));
      if (method.methodKind === 'server_streaming') {
        const stream = client.makeServerStreamRequest(path, same, same, garbage, metadata);
        stream.on('error', ended).on('data', answered);
        return;
      }
      const stream = client.makeBidiStreamRequest(path, same, same, metadata);
      stream.on('error', ended).on('data', answered);
      stream.end(garbage);
    });
  };
  const closed = methods.filter((method) => !policyOf(method).public);

  test('identity.R1 the committed matrix names every RPC and every built-in role', () => {
    expect([...matrix.keys()].sort()).toEqual(methods.map(pathOf).sort());
    expect(roles).toEqual(['viewer', 'researcher', 'developer', 'operator', 'admin', 'node', 'service']);
    for (const cells of matrix.values()) expect(cells).toHaveLength(roles.length);
  });

  test.each(byPath(closed))('identity.R1 %s lets in whom the matrix says', async (path, method) => {
    const found: string[] = [];
    for (const role of roles) {
      const outcome = await call(method, tokens.get(role));
      expect(outcome).toMatch(/^(PERMISSION_DENIED NO_PERMISSION|INVALID_ARGUMENT MALFORMED)$/);
      found.push(outcome.startsWith('PERMISSION_DENIED') ? '' : 'yes');
    }
    expect(found).toEqual(matrix.get(path));
  });

  test.each(byPath(closed))('identity.R2 %s refuses a stranger', async (_path, method) => {
    expect(await call(method, undefined)).toBe('UNAUTHENTICATED MISSING_CREDENTIALS');
    expect(await call(method, 'hk_live_0000000000_0000000000000000000000000000000000000000000')).toBe(
      'UNAUTHENTICATED BAD_TOKEN',
    );
  });

  test('identity.R2 the public ones are those declared, and answer without credentials', async () => {
    const open = methods.filter((method) => policyOf(method).public);
    expect(open.map(pathOf).sort()).toEqual([
      'grpc.health.v1.Health/Check',
      'grpc.health.v1.Health/Watch',
      'grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
      'grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo',
      'homeostat.identity.v1.AuthService/GetJwks',
      'homeostat.identity.v1.AuthService/Login',
      'homeostat.identity.v1.AuthService/Refresh',
    ]);
    for (const method of open)
      expect(await call(method, undefined).catch((error: Error) => error.message)).not.toMatch(
        /UNAUTHENTICATED|PERMISSION_DENIED/,
      );
  });
});
