/**
 * What contexts see of gRPC: typed handlers and the call they answer. Handlers are async functions and async
 * iterables; everything else (credentials, permissions, limits, validation, logs, errors) is the edge's.
 */
import type {
  DescMessage,
  DescMethodBiDiStreaming,
  DescMethodClientStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf';
import type { Tx } from '../store/store.ts';

/** How many tokens per minute a principal has. */
export type RateTier = 'FREE' | 'PRO' | 'ENTERPRISE';

/** Who calls; shared by all calls with the same credentials, and never changed. */
export interface Principal {
  /** Empty for the caller of a public method. */
  readonly id: string;
  readonly tier: RateTier;
  /** What it called with. */
  readonly credential: {
    readonly kind: 'NONE' | 'TOKEN' | 'API_KEY' | 'CERTIFICATE';
    /** Id of the token or key; empty for the others. */
    readonly id: string;
    /** The login the token descends from; empty for none. */
    readonly familyId: string;
  };
  /** Whether its roles and the scopes of its credentials allow `<noun>.<verb>`. Cost: a look into a map. */
  allows(permission: string): boolean;
}

/** The other end of a connection. */
export interface Peer {
  /** IP address, without port. */
  readonly address: string;
  /** The client's certificate, verified; undefined where it has shown none. */
  readonly certificate: ClientCertificate | undefined;
}

export interface ClientCertificate {
  /** URIs of the subject's alternative names. */
  readonly uris: readonly string[];
  /** SHA-256 of the certificate in base64url: `x5t#S256` of RFC 8705. */
  readonly sha256: string;
}

/** One call, as its handler sees it. */
export interface Call {
  readonly principal: Principal;
  readonly peer: Peer;
  readonly requestId: string;
  /** Aborts on deadline, client cancel and shutdown. Made on first use: ask for it only where it is needed. */
  readonly signal: AbortSignal;
  /** Throws what `signal` would abort with, if it has: without a signal, for those who ask now and then. */
  throwIfAborted(): void;
  /** W3C trace context of the caller, where there is one. */
  readonly traceparent: string | undefined;
  /**
   * Writes the call's entry of the audit trail in the command's transaction, as answered OK; `resource` names what it was
   * about. Commands of methods with audit REQUIRED do this (`runCommand` does it for them), so that there is never one
   * without the other. What a handler leaves out the edge commits on its own before the reply.
   */
  audit(tx: Tx, resource: string): Promise<void>;
}

type Unary<I extends DescMessage, O extends DescMessage> = (
  request: MessageShape<I>,
  call: Call,
) => Promise<MessageInitShape<O>> | MessageInitShape<O>;
type ServerStreaming<I extends DescMessage, O extends DescMessage> = (
  request: MessageShape<I>,
  call: Call,
) => AsyncIterable<MessageInitShape<O>>;
type ClientStreaming<I extends DescMessage, O extends DescMessage> = (
  requests: AsyncIterable<MessageShape<I>>,
  call: Call,
) => Promise<MessageInitShape<O>>;
type BiDiStreaming<I extends DescMessage, O extends DescMessage> = (
  requests: AsyncIterable<MessageShape<I>>,
  call: Call,
) => AsyncIterable<MessageInitShape<O>>;

/** One handler per method of a service, named as in the generated descriptor (`getMap`). */
export type Handlers<Service extends DescService> = {
  [Name in keyof Service['method']]: Service['method'][Name] extends DescMethodUnary<infer I, infer O>
    ? Unary<I, O>
    : Service['method'][Name] extends DescMethodServerStreaming<infer I, infer O>
      ? ServerStreaming<I, O>
      : Service['method'][Name] extends DescMethodClientStreaming<infer I, infer O>
        ? ClientStreaming<I, O>
        : Service['method'][Name] extends DescMethodBiDiStreaming<infer I, infer O>
          ? BiDiStreaming<I, O>
          : never;
};

/** A service with its handlers, ready to be bound by the edge. */
export interface ServiceBinding {
  readonly service: DescService;
  readonly handlers: Readonly<Record<string, unknown>>;
  /**
   * Reasons why the service cannot serve right now (`BROKER_DOWN`); empty while it serves. Read every 100 ms, so it
   * must be cheap and touch neither disk nor network.
   */
  readonly unavailable?: () => readonly string[];
  /** What the service does without while it serves (`NO_AXIOMS`); as cheap as `unavailable`. */
  readonly degraded?: () => readonly string[];
  /**
   * Streaming methods, by local name, whose handler checks each request against the field rules by itself
   * (`compileRules` of `validate.ts`), because a broken one is answered and does not end the call.
   */
  readonly selfChecking?: readonly string[];
  /**
   * Methods, by local name, whose handler is given the bytes of a request and decodes them by itself, because the
   * messages are large. It throws MALFORMED of the edge.
   */
  readonly selfDecoding?: readonly string[];
}

export function serviceBinding<Service extends DescService>(
  service: Service,
  handlers: Handlers<Service>,
  unavailable?: () => readonly string[],
): ServiceBinding {
  return { service, handlers, ...(unavailable && { unavailable }) };
}
