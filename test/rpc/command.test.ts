/** Commands: rows, idempotency key and audit entry in one transaction. */
import { create, toBinary } from '@bufbuild/protobuf';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { systemClock } from '../../src/clock.ts';
import { AppError } from '../../src/errors.ts';
import { CreateUserRequestSchema, UserService } from '../../src/gen/homeostat/identity/v1/user_service_pb.ts';
import {
  CreateSessionRequestSchema,
  SessionService,
} from '../../src/gen/homeostat/session/v1/session_service_pb.ts';
import { type Command, runCommand } from '../../src/rpc/command.ts';
import { createSealer } from '../../src/sealing.ts';
import { systemSecrets } from '../../src/secrets.ts';
import { requestDigest } from '../../src/store/idempotency.ts';
import type { Store, Tx } from '../../src/store/store.ts';
import { addCounter, amounts, counterMigrations } from '../store/counter-table.ts';
import { callOf, principalOf } from '../support/calls.ts';
import { describeOnStores, type TestDatabase } from '../support/stores.ts';

const method = SessionService.method.createSession;
const reused = () =>
  new AppError({ domain: 'test', reason: 'REUSED', kind: 'ALREADY_EXISTS', message: 'reused' });

describeOnStores('a command', (engine) => {
  let database: TestDatabase;
  let store: Store;
  let audited: string[];
  let entries = 0;

  beforeEach(async () => {
    database = await engine.createDatabase();
    store = await database.open(counterMigrations);
    audited = [];
  });
  afterEach(() => database.dispose());

  /** The audit trail is a row, so that a rollback takes it back. */
  const call = (principal = 'ann') =>
    callOf({
      principal: principalOf(principal),
      audit: async (tx, resource) => {
        await addCounter(tx, `audit-${++entries}`);
        tx.afterCommit(() => audited.push(resource));
      },
    });
  const run = (
    key: string,
    work: (tx: Tx) => Promise<string>,
    more: Partial<Command<typeof method.input, typeof method.output>> & { by?: string; name?: string } = {},
  ) =>
    runCommand({ store, clock: systemClock }, call(more.by), {
      method,
      request: create(CreateSessionRequestSchema, { name: more.name ?? 'try', idempotencyKey: key }),
      key,
      reused,
      resource: (reply) => `session/${reply.session?.sessionId}`,
      work: async (tx) => ({ session: { sessionId: await work(tx) } }),
      ...more,
    });

  /** What is remembered of commands with keys. */
  const remembered = () =>
    store
      .query<{ store_idempotency: { response: Uint8Array; request_digest: string } }>()
      .selectFrom('store_idempotency')
      .select(['response', 'request_digest'])
      .execute();

  test('commits its rows and its audit entry, or neither', async () => {
    const reply = await run('', async (tx) => {
      await addCounter(tx, 'a');
      return 's1';
    });
    expect(reply.session?.sessionId).toBe('s1');
    expect(audited).toEqual(['session/s1']);
    await expect(
      run('', async (tx) => {
        await addCounter(tx, 'b');
        throw new RangeError('no');
      }),
    ).rejects.toThrow(RangeError);
    expect(Object.keys(await amounts(store))).toEqual(['a', expect.stringMatching(/^audit-/)]);
    expect(audited).toHaveLength(1);
  });

  test('is not committed when its audit entry cannot be written', async () => {
    const failing = callOf({ audit: async () => Promise.reject(new RangeError('no trail')) });
    const command = runCommand({ store, clock: systemClock }, failing, {
      method,
      request: create(CreateSessionRequestSchema, { name: 'try' }),
      key: '',
      reused,
      resource: () => '',
      work: async (tx) => {
        await addCounter(tx, 'a');
        return {};
      },
    });
    await expect(command).rejects.toThrow('no trail');
    expect(await amounts(store)).toEqual({});
  });

  test('sent again under its key gets the first reply, is not done twice, and is audited each time', async () => {
    let runs = 0;
    const work = async () => `s${++runs}`;
    for (let attempt = 0; attempt < 3; attempt++)
      expect((await run('k', work)).session?.sessionId).toBe('s1');
    expect(audited).toEqual(['session/s1', 'session/s1', 'session/s1']);
  });

  test('another request under the same key is refused; another caller has keys of its own', async () => {
    await run('k', async () => 's1');
    await expect(run('k', async () => 's2', { name: 'other' })).rejects.toMatchObject({ reason: 'REUSED' });
    expect((await run('k', async () => 's3', { by: 'bob', name: 'other' })).session?.sessionId).toBe('s3');
  });

  test('whose reply holds a secret is remembered sealed', async () => {
    const sealer = createSealer(new Uint8Array(32), systemSecrets);
    await run('k', async () => 'canary', { sealer });
    expect((await run('k', async () => 'other', { sealer })).session?.sessionId).toBe('canary');
    const stored = await remembered();
    expect(stored).toHaveLength(1);
    expect(Buffer.from(stored[0]!.response).includes('canary')).toBe(false);
  });

  test('with a secret in its request is told from another by a keyed digest, and refused without a key', async () => {
    const sealer = createSealer(new Uint8Array(32), systemSecrets);
    const createAnn = (password: string, sealed: boolean) =>
      runCommand({ store, clock: systemClock }, call(), {
        method: UserService.method.createUser,
        request: create(CreateUserRequestSchema, { username: 'ann', password, idempotencyKey: 'k' }),
        key: 'k',
        reused,
        resource: () => '',
        work: async () => ({ user: { id: password } }),
        ...(sealed && { sealer }),
      });
    await expect(createAnn('first', false)).rejects.toThrow(/no sealer/);
    expect((await createAnn('first', true)).user?.id).toBe('first');
    await expect(createAnn('other', true)).rejects.toMatchObject({ reason: 'REUSED' });
    const bytes = toBinary(
      CreateUserRequestSchema,
      create(CreateUserRequestSchema, { username: 'ann', password: 'first', idempotencyKey: 'k' }),
    );
    const digests = (await remembered()).map((row) => row.request_digest);
    expect(digests).toHaveLength(1);
    expect(digests).not.toContain(requestDigest(bytes));
  });

  test('many at once all succeed, one after the other', async () => {
    const replies = await Promise.all(
      Array.from({ length: 40 }, (_, i) =>
        run('', async (tx) => {
          const before = await amounts(tx);
          await addCounter(tx, `row-${i}`);
          return String(Object.keys(before).filter((name) => name.startsWith('row-')).length);
        }),
      ),
    );
    expect(new Set(replies.map((reply) => reply.session?.sessionId)).size).toBe(40);
  });
});
