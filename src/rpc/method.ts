/**
 * One method as the edge serves it: its names, how its calls are treated, how bytes become a checked request and a reply
 * becomes bytes, and its counters. Made once per method when services are bound.
 */
import { create, type DescMethod, fromBinary, type MessageInitShape } from '@bufbuild/protobuf';
import { encodeMessage } from '../encode.ts';
import { fieldError } from '../errors.ts';
import { type CallCounts, newCallCounts } from './call-counts.ts';
import { type LatencyHistory, newLatencyHistory } from './concurrency-limit.ts';
import { type CallCost, callCost } from './cost.ts';
import { edgeError } from './errors.ts';
import { type Policy, policyOf } from './policy.ts';
import { holdsSecret } from './secret-fields.ts';
import { compileRules } from './validate.ts';

/** How messages of a method become bytes and back. */
export interface Codec {
  /** Decodes a request. Throws MALFORMED. */
  readonly decode: (bytes: Buffer) => object;
  /** Checks a decoded request against the contract. Throws FIELD_INVALID. */
  readonly check: (request: object) => void;
  /** Encodes a reply. Throws REPLY_TOO_LARGE. */
  readonly write: (reply: unknown) => Buffer;
}

/** How calls of a method are treated before they reach it, whichever way they come. */
export interface Treatment {
  /** `/homeostat.energy.v1.EnergyService/GetMap`. */
  readonly path: string;
  readonly policy: Policy;
  readonly cost: CallCost;
  readonly latency: LatencyHistory;
}

export interface Method extends Codec, Treatment {
  /** `homeostat.energy.v1.EnergyService`. */
  readonly service: string;
  /** `GetMap`. */
  readonly name: string;
  readonly kind: DescMethod['methodKind'];
  readonly handler: (request: never, call: never) => unknown;
  readonly counts: CallCounts;
  /** Whether its requests hold a password or the like. */
  readonly holdsSecret: boolean;
}

/** Deeper messages are refused. */
const DEPTH_MAX = 64;

/** Unknown fields are dropped: nothing here passes a message on. */
const READ_OPTIONS = { readUnknownFields: false, recursionLimit: DEPTH_MAX };

/** Throws an Error for a method whose contract does not say how, or counts what its request does not have. */
export function treatmentOf(desc: DescMethod): Treatment {
  const policy = policyOf(desc);
  const path = `/${desc.parent.typeName}/${desc.name}`;
  return { path, policy, cost: callCost(desc, policy.cost), latency: newLatencyHistory() };
}

/**
 * `handler` is an async function or async iterable of the kind the method has. `codec` replaces the contract's own
 * messages, for a service that answers with bytes it has at hand.
 */
export function createMethod(desc: DescMethod, handler: Method['handler'], codec: Codec): Method {
  return {
    ...treatmentOf(desc),
    service: desc.parent.typeName,
    name: desc.name,
    kind: desc.methodKind,
    handler,
    counts: newCallCounts(),
    holdsSecret: holdsSecret(desc.input),
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
    decode(bytes) {
      try {
        // Bytes fields are views of these, and a Buffer's `slice` does not copy, as that of plain bytes does.
        const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
        return fromBinary(input, plain, READ_OPTIONS);
      } catch (cause) {
        throw edgeError('MALFORMED', { type: input.typeName }, { cause });
      }
    },
    check(request) {
      const violations = check?.(request);
      if (violations && violations.length > 0) throw fieldError(domain, violations);
    },
    write(reply) {
      const bytes = encodeMessage(output, create(output, reply as MessageInitShape<typeof output>));
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
export const bytesCodec: Codec = {
  decode: (bytes) => bytes,
  check: () => undefined,
  write: (reply) => reply as Buffer,
};

/** `homeostat.energy` for a method of package `homeostat.energy.v1`. */
function errorDomain(desc: DescMethod): string {
  return desc.parent.file.proto.package.replace(/\.v\d+[a-z0-9]*$/, '');
}
