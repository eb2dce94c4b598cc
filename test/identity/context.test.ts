import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { ApiKeyService } from '../../src/gen/homeostat/identity/v1/api_key_service_pb.ts';
import { AuditService } from '../../src/gen/homeostat/identity/v1/audit_service_pb.ts';
import { AuthService } from '../../src/gen/homeostat/identity/v1/auth_service_pb.ts';
import { UserService } from '../../src/gen/homeostat/identity/v1/user_service_pb.ts';
import { identityMigrations } from '../../src/identity/context.ts';
import { issueKey, KEY_BYTES } from '../../src/identity/key/api-key.ts';
import { addKey, findKey, firstMigration } from '../../src/identity/key/key-store.ts';
import { newPrincipal } from '../../src/identity/principal/principal.ts';
import { addPrincipal, findPrincipal } from '../../src/identity/principal/principal-store.ts';
import { systemSecrets } from '../../src/secrets.ts';
import type { Store } from '../../src/store/store.ts';
import { callOf } from '../support/calls.ts';
import { createFakeClock, type FakeClock } from '../support/fake-clock.ts';
import { describeOnStores, type TestDatabase } from '../support/stores.ts';
import { createIdentityWorld, type IdentityWorld } from './identity-world.ts';

const PASSWORD = 'correct horse battery';

describeOnStores('identity', (engine) => {
  let database: TestDatabase;
  let store: Store;
  let clock: FakeClock;
  const opened: IdentityWorld[] = [];

  const open = async (on: Store = store): Promise<IdentityWorld> => {
    const world = createIdentityWorld({ store: on, dataDir: database.location.dataDir, clock });
    await world.identity.start();
    opened.push(world);
    return world;
  };
  /** A principal with a key for everything it may do. */
  const addWithKey = async (id: string, roles: readonly string[]): Promise<string> => {
    const { text, stored } = issueKey(
      {
        principalId: id,
        label: 'test',
        scopes: ['*.*'],
        sourceRanges: [],
        environment: 'live',
        expiresAtMs: undefined,
      },
      systemSecrets.bytes(KEY_BYTES),
      clock.nowMs(),
    );
    await store.transact(async (tx) => {
      const about = { id, username: id, kind: 'USER', roles, tier: 'PRO' } as const;
      await addPrincipal(tx, newPrincipal(about, clock.nowMs()));
      await addKey(tx, stored);
    });
    return text;
  };

  beforeEach(async () => {
    database = await engine.createDatabase();
    store = await database.open(identityMigrations);
    clock = createFakeClock();
  });
  afterEach(async () => {
    for (const world of opened.splice(0)) await world.identity.stop();
    expect(clock.pending()).toBe(0);
    await database.dispose();
  });

  test('answers four services, and refuses to be put together with a permission it does not know', () => {
    const { identity } = createIdentityWorld({ store, dataDir: database.location.dataDir, clock });
    expect(identity.services.map(({ service }) => service)).toEqual([
      AuthService,
      UserService,
      ApiKeyService,
      AuditService,
    ]);
    const methods = new Map([['a.B/C', { permission: 'energy.fly', public: false }]]);
    expect(() => createIdentityWorld({ store, dataDir: database.location.dataDir, clock, methods })).toThrow(
      'energy.fly',
    );
  });

  test('a user is created, logs in, makes a key, and everything is in the audit trail', async () => {
    const world = await open();
    const root = await addWithKey('root', ['admin']);
    const create = { username: 'ada', roles: ['viewer'], password: PASSWORD, idempotencyKey: '1' };
    const { user } = await world.call(root, UserService.method.createUser, create);
    const auth = world.identity.services[0]!.handlers as {
      login(request: object, call: object): Promise<{ accessToken: string }>;
    };
    const { accessToken } = await auth.login({ username: 'ada', password: PASSWORD }, callOf());
    expect((await world.verify(accessToken)).allows('energy.read')).toBe(true);
    const request = { label: 'ci', scopes: ['energy.read'], idempotencyKey: '1' };
    const { key } = await world.call(accessToken, ApiKeyService.method.createApiKey, request);
    const bearer = await world.verify(key);
    expect([bearer.id, bearer.allows('energy.read'), bearer.allows('session.read')]).toEqual([
      user!.id,
      true,
      false,
    ]);
    const { entries } = await world.call(root, AuditService.method.queryAudit, {});
    expect(entries.map((entry) => entry.resource)).toEqual([
      expect.stringMatching(/^key\/[0-9a-v]{10}$/),
      `principal/${user!.id}`,
    ]);
    expect(world.events).toEqual(['principal_changed']);
  });

  test('what a change takes away counts at once here, and soon on another server', async () => {
    const here = await open();
    const there = await open(await database.open());
    const root = await addWithKey('root', ['admin']);
    await here.call(root, UserService.method.putRole, { name: 'team', allow: ['energy.read'] });
    const key = await addWithKey('ada', ['team']);
    const allowed = async (world: IdentityWorld) => (await world.verify(key)).allows('energy.read');
    const soon = async (condition: () => Promise<boolean>) => {
      const deadlineMs = performance.now() + 20_000;
      while (!(await condition())) {
        if (performance.now() > deadlineMs) throw new Error('the other server did not hear of it');
        await clock.advance(250);
      }
    };
    expect([await allowed(here), await allowed(there)]).toEqual([true, true]);

    const role = { name: 'team', allow: ['energy.read'], deny: ['energy.*'], version: 1n };
    await here.call(root, UserService.method.putRole, role);
    expect(await allowed(here)).toBe(false);
    await soon(async () => !(await allowed(there)));

    await here.call(root, UserService.method.updateUser, { id: 'ada', disabled: true, version: 1n });
    await expect(here.verify(key)).rejects.toMatchObject({ reason: 'TOKEN_REVOKED' });
    await soon(() =>
      there.verify(key).then(
        () => false,
        (error) => error.reason === 'TOKEN_REVOKED',
      ),
    );
  });

  test('the last use of a key is known after a minute', async () => {
    const world = await open();
    const key = await addWithKey('root', ['admin']);
    await world.verify(key);
    await world.identity.stop();
    opened.splice(0);
    expect((await findKey(store, key.split('_')[2]!))!.lastUsedAtMs).toBe(clock.nowMs());
  });

  test('a node gets a principal and tokens of its role, once', async () => {
    const world = await open();
    const { principals } = world.identity;
    await store.transactInTurn((tx) => principals.createNode(tx, 'node-1'));
    const { accessToken } = await principals.issueNodeToken('node-1');
    const node = await world.verify(accessToken);
    expect(node).toMatchObject({ id: 'node-1', tier: 'PRO', credential: { kind: 'TOKEN' } });
    expect([node.allows('agent.write'), node.allows('node.operate'), node.allows('self.write')]).toEqual([
      true,
      false,
      false,
    ]);
    await expect(store.transactInTurn((tx) => principals.createNode(tx, 'node-1'))).rejects.toMatchObject({
      reason: 'USERNAME_TAKEN',
    });
    expect(world.events).toEqual(['principal_changed']);
  });
});

describeOnStores('a database of an earlier version', (engine) => {
  test('keeps its administrator and key, who is what bootstrap makes now', async () => {
    const database = await engine.createDatabase();
    try {
      const old = await database.open([firstMigration]);
      const { stored } = issueKey(
        {
          principalId: 'admin',
          label: 'bootstrap',
          scopes: ['*.*'],
          sourceRanges: [],
          environment: 'live',
          expiresAtMs: undefined,
        },
        systemSecrets.bytes(KEY_BYTES),
        7,
      );
      await old.transact(async (tx) => {
        interface Old {
          identity_principal: { id: string; roles: string; created_at_ms: number };
          identity_api_key: {
            prefix: string;
            secret_hash: Uint8Array;
            principal_id: string;
            label: string;
            scopes: string;
            created_at_ms: number;
          };
        }
        const admin = { id: 'admin', roles: '["admin"]', created_at_ms: 7 };
        await tx.query<Old>().insertInto('identity_principal').values(admin).execute();
        const key = {
          prefix: stored.prefix,
          secret_hash: stored.secretHash,
          principal_id: 'admin',
          label: 'bootstrap',
          scopes: '["*.*"]',
          created_at_ms: 7,
        };
        await tx.query<Old>().insertInto('identity_api_key').values(key).execute();
      });
      await old.close();
      const store = await database.open(identityMigrations);
      expect(await findPrincipal(store, 'admin')).toEqual(
        newPrincipal(
          { id: 'admin', username: 'admin', kind: 'USER', roles: ['admin'], tier: 'ENTERPRISE' },
          7,
        ),
      );
      expect(await findKey(store, stored.prefix)).toEqual(stored);
    } finally {
      await database.dispose();
    }
  });
});
