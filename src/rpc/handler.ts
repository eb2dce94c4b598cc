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

/** Who calls. */
export interface Principal {
  readonly id: string;
  readonly permissions: readonly string[];
}

/** One call, as its handler sees it. */
export interface Call {
  readonly principal: Principal;
  readonly requestId: string;
  /** Aborts on deadline, client cancel and shutdown. Made on first use: ask for it only where it is needed. */
  readonly signal: AbortSignal;
  /** W3C trace context of the caller, where there is one. */
  readonly traceparent: string | undefined;
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
