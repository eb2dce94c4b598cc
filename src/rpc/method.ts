/**
 * One method as the edge serves it: its names, its policy, how bytes become a checked request and a reply becomes
 * bytes, and its counters. Made once per method when services are bound.
 */
import { create, type DescMethod, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { fieldError } from '../errors.ts';
import { type CallCounts, newCallCounts } from './call-counts.ts';
import { edgeError } from './errors.ts';
import { type Policy, policyOf } from './policy.ts';
import { compileRules } from './validate.ts';

/** How messages of a method become bytes and back. */
export interface Codec {
  /** Decodes and checks a request. Throws MALFORMED or FIELD_INVALID. */
  readonly read: (bytes: Buffer) => unknown;
  /** Encodes a reply. Throws REPLY_TOO_LARGE. */
  readonly write: (reply: unknown) => Buffer;
}

export interface Method extends Codec {
  /** `/homeostat.energy.v1.EnergyService/GetMap`. */
  readonly path: string;
  /** `homeostat.energy.v1.EnergyService`. */
  readonly service: string;
  /** `GetMap`. */
  readonly name: string;
  readonly kind: DescMethod['methodKind'];
  readonly policy: Policy;
  readonly handler: (request: never, call: never) => unknown;
  readonly counts: CallCounts;
}

/** Deeper messages are refused. */
const DEPTH_MAX = 64;

/** Unknown fields are dropped: nothing here passes a message on. */
const READ_OPTIONS = { readUnknownFields: false, recursionLimit: DEPTH_MAX };

/**
 * `handler` is an async function or async iterable of the kind the method has. `codec` replaces the contract's own
 * messages, for a service that answers with bytes it has at hand.
 */
export function createMethod(desc: DescMethod, handler: Method['handler'], codec: Codec): Method {
  return {
    path: `/${desc.parent.typeName}/${desc.name}`,
    service: desc.parent.typeName,
    name: desc.name,
    kind: desc.methodKind,
    policy: policyOf(desc),
    handler,
    counts: newCallCounts(),
    ...codec,
  };
}

/**
 * The codec of a method's own messages. Requests are checked against the contract's rules unless the handler checks
 * each message of its stream by itself.
 */
export function contractCodec(desc: DescMethod, sendBytesMax: number, unchecked = false): Codec {
  const { input, output } = desc;
  const check = unchecked ? undefined : compileRules(input);
  const domain = errorDomain(desc);
  return {
    read(bytes) {
      let request: object;
      try {
        request = fromBinary(input, bytes, READ_OPTIONS);
      } catch (cause) {
        throw edgeError('MALFORMED', { type: input.typeName }, { cause });
      }
      const violations = check?.(request);
      if (violations && violations.length > 0) throw fieldError(domain, violations);
      return request;
    },
    write(reply) {
      const bytes = toBinary(output, create(output, reply as MessageInitShape<typeof output>));
      if (bytes.length > sendBytesMax)
        throw edgeError(
          'REPLY_TOO_LARGE',
          { limit: sendBytesMax, asked: bytes.length },
          { retryAfterMs: -1 },
        );
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    },
  };
}

/** Bytes in, bytes out. */
export const bytesCodec: Codec = { read: (bytes) => bytes, write: (reply) => reply as Buffer };

/** `homeostat.energy` for a method of package `homeostat.energy.v1`. */
function errorDomain(desc: DescMethod): string {
  return desc.parent.file.proto.package.replace(/\.v\d+[a-z0-9]*$/, '');
}
