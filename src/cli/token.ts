/** `homeostat token`: a credential from the server on this machine, or a new admin key for whoever has its database. */
import { randomUUID } from 'node:crypto';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import type { Clients } from '../client/client.ts';
import { RpcError } from '../client/rpc-error.ts';
import { PrincipalKind, Tier } from '../gen/homeostat/identity/v1/user_service_pb.ts';
import { defineCommand, type Given } from './command.ts';
import { endpointOf } from './endpoint.ts';
import { unusable } from './failure.ts';
import { configured, recoverKey } from './launch.ts';
import { readDurationMs } from './values.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const ROLE = /^[a-z0-9][a-z0-9_.-]{0,58}$/;

const options = {
  role: {
    value: '<role>',
    meaning: 'Role of the token: that of a service of its own, cli-<role>. Default the administrator.',
  },
  scope: {
    value: '<noun.verb>',
    repeated: true,
    meaning: 'What it is good for; default all its role may do.',
  },
  ttl: { value: '<duration>', meaning: 'How long it is good, 1m to 24h; default 30m.' },
  to: { value: '<dir>', meaning: "Data directory of the running server; default this environment's." },
  bootstrap: { meaning: 'Instead makes a new admin key, revokes the old one and writes admin.key anew.' },
} as const;

export const token = defineCommand({
  name: 'token',
  summary: 'Prints an access token of the server that runs on this machine, or recovers the admin key.',
  positionals: [],
  options,
  notes: [
    'The token alone goes to standard output. --bootstrap needs access to the data directory and the database; a\n' +
      'running server learns of it within a second.',
  ],
  async run(given, _positionals, terminal) {
    if (given.bootstrap) {
      if (given.role ?? given.ttl ?? given.to ?? given.scope[0])
        throw unusable('homeostat token takes --bootstrap alone (see --help)');
      const path = await recoverKey();
      terminal.out.write(`The new admin key is in ${path}; the one before is refused from now on.\n`);
      return 0;
    }
    if (given.role !== undefined && !ROLE.test(given.role))
      throw unusable(`--role must be the name of a role, not "${given.role}"`);
    const ttlMs = readDurationMs('ttl', given.ttl ?? '30m', MINUTE_MS, DAY_MS);
    const dataDir = given.to ?? configured().DATA_DIR;
    const link = endpointOf(dataDir, 'environment').connect();
    try {
      terminal.out.write(`${await issue(link.clients, given, ttlMs)}\n`);
      return 0;
    } finally {
      link.close();
    }
  },
});

async function issue(clients: Clients, given: Given<typeof options>, ttlMs: number): Promise<string> {
  const principalId = given.role === undefined ? '' : await serviceOf(clients, given.role);
  const { accessToken } = await clients.auth.issueToken({
    principalId,
    scopes: [...given.scope],
    ttl: durationFromMs(ttlMs),
    idempotencyKey: randomUUID(),
  });
  return accessToken;
}

/** Id of the service that has this role alone; made at its first token. */
async function serviceOf(clients: Clients, role: string): Promise<string> {
  const username = `cli-${role}`;
  try {
    const { user } = await clients.users.createUser({
      username,
      kind: PrincipalKind.SERVICE,
      roles: [role],
      tier: Tier.PRO,
      idempotencyKey: randomUUID(),
    });
    return user!.id;
  } catch (error) {
    if (!(error instanceof RpcError) || error.reason !== 'USERNAME_TAKEN') throw error;
  }
  for (let pageToken = ''; ; ) {
    const reply = await clients.users.listUsers({ role, kind: PrincipalKind.SERVICE, page: { pageToken } });
    const found = reply.users.find((user) => user.username === username);
    if (found) return found.id;
    if (reply.nextPageToken === '')
      throw unusable(`${username} no longer has role ${role}: name another role`);
    pageToken = reply.nextPageToken;
  }
}
