/**
 * Runs a command of a unary method: its rows, its events, its idempotency key and its audit entry commit in one
 * transaction. A refused command leaves nothing behind, its key included: sent again, it is judged anew.
 */
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import type { Clock } from '../clock.ts';
import type { AppError } from '../errors.ts';
import type { Sealer } from '../sealing.ts';
import { idempotent, requestDigest } from '../store/idempotency.ts';
import type { Store, Tx } from '../store/store.ts';
import type { Call } from './handler.ts';
import { holdsSecret } from './secret-fields.ts';

export interface CommandDeps {
  readonly store: Pick<Store, 'transactInTurn'>;
  readonly clock: Pick<Clock, 'nowMs'>;
}

export interface Command<I extends DescMessage, O extends DescMessage> {
  readonly method: DescMethodUnary<I, O>;
  readonly request: MessageShape<I>;
  /** The caller's idempotency key; empty where it gave none. */
  readonly key: string;
  /** The context's IDEMPOTENCY_KEY_REUSED. */
  readonly reused: () => AppError;
  /** Names what the command was about, for the audit trail. */
  readonly resource: (reply: MessageShape<O>) => string;
  /** Seals the remembered reply and keys the digest of the request, where one of them holds a secret. */
  readonly sealer?: Sealer;
  /** Awaits nothing but SQL; may run again. */
  readonly work: (tx: Tx) => Promise<MessageInitShape<O>>;
}

/** Replies that hold secrets are remembered under this purpose, and requests that do digested. */
const PURPOSE = 'rpc.command';

/** Resolves once everything is committed. Rejects with what `work` throws, or `reused`. */
export async function runCommand<I extends DescMessage, O extends DescMessage>(
  deps: CommandDeps,
  call: Call,
  command: Command<I, O>,
): Promise<MessageShape<O>> {
  const { method, sealer } = command;
  const identified = {
    principal: call.principal.id,
    method: `${method.parent.typeName}/${method.name}`,
    key: command.key,
    requestDigest: digestOf(command),
  };
  return deps.store.transactInTurn(async (tx) => {
    const result = await idempotent(tx, { ...identified, nowMs: deps.clock.nowMs() }, async () => {
      const bytes = toBinary(method.output, create(method.output, await command.work(tx)));
      return sealer ? sealer.seal(PURPOSE, bytes) : bytes;
    });
    if (result.outcome === 'reused') throw command.reused();
    const { response } = result;
    const reply = fromBinary(method.output, sealer ? sealer.open(PURPOSE, response) : response);
    await call.audit(tx, command.resource(reply));
    return reply;
  });
}

/** Empty where there is no key to remember it by. Throws Error for a secret without a sealer: it could be guessed back. */
function digestOf<I extends DescMessage, O extends DescMessage>({
  method,
  request,
  key,
  sealer,
}: Command<I, O>): string {
  if (key === '') return '';
  const bytes = toBinary(method.input, request);
  if (sealer) return Buffer.from(sealer.digest(PURPOSE, bytes)).toString('hex');
  if (holdsSecret(method.input)) throw new Error(`${method.name} has secrets in its request and no sealer`);
  return requestDigest(bytes);
}
