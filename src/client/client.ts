/**
 * Typed clients for every service. This file is the package's door `homeostat/client`:
 *
 *     const server = createClients({ address: '127.0.0.1:50051', token: readFileSync('admin.key', 'utf8').trim() });
 *     const { health } = await server.resilience.getHealth({});
 *     server.close();
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
import { DiffusionService } from '../gen/homeostat/diffusion/v1/diffusion_service_pb.ts';
import { EnergyService } from '../gen/homeostat/energy/v1/energy_service_pb.ts';
import { FeedbackService } from '../gen/homeostat/energy/v1/feedback_service_pb.ts';
import { ProofService } from '../gen/homeostat/energy/v1/proof_service_pb.ts';
import { ApiKeyService } from '../gen/homeostat/identity/v1/api_key_service_pb.ts';
import { AuditService } from '../gen/homeostat/identity/v1/audit_service_pb.ts';
import { AuthService } from '../gen/homeostat/identity/v1/auth_service_pb.ts';
import { UserService } from '../gen/homeostat/identity/v1/user_service_pb.ts';
import { LedgerService } from '../gen/homeostat/ledger/v1/ledger_service_pb.ts';
import { ResilienceService } from '../gen/homeostat/resilience/v1/resilience_service_pb.ts';
import { ThermodynamicsService } from '../gen/homeostat/resilience/v1/thermodynamics_service_pb.ts';
import { SessionService } from '../gen/homeostat/session/v1/session_service_pb.ts';
import { TelemetryService } from '../gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { type CallOptions, type Channel, type ChannelOptions, openChannel } from './channel.ts';

export { type CallOptions, type Channel, type ChannelOptions, openChannel } from './channel.ts';
export type { RetryPolicy } from './retry.ts';
export { type RpcCode, RpcError } from './rpc-error.ts';

type Unary<I extends DescMessage, O extends DescMessage> = (
  request: MessageInitShape<I>,
  options?: CallOptions,
) => Promise<MessageShape<O>>;
type ServerStreaming<I extends DescMessage, O extends DescMessage> = (
  request: MessageInitShape<I>,
  options?: CallOptions,
) => AsyncIterable<MessageShape<O>>;
type ClientStreaming<I extends DescMessage, O extends DescMessage> = (
  requests: AsyncIterable<MessageInitShape<I>>,
  options?: CallOptions,
) => Promise<MessageShape<O>>;
type BiDiStreaming<I extends DescMessage, O extends DescMessage> = (
  requests: AsyncIterable<MessageInitShape<I>>,
  options?: CallOptions,
) => AsyncIterable<MessageShape<O>>;

/** One function per method of a service, named as in the generated descriptor (`getMap`). */
export type Client<Service extends DescService> = {
  readonly [Name in keyof Service['method']]: Service['method'][Name] extends DescMethodUnary<
    infer I,
    infer O
  >
    ? Unary<I, O>
    : Service['method'][Name] extends DescMethodServerStreaming<infer I, infer O>
      ? ServerStreaming<I, O>
      : Service['method'][Name] extends DescMethodClientStreaming<infer I, infer O>
        ? ClientStreaming<I, O>
        : Service['method'][Name] extends DescMethodBiDiStreaming<infer I, infer O>
          ? BiDiStreaming<I, O>
          : never;
};

type AnyMethod =
  | DescMethodUnary
  | DescMethodServerStreaming
  | DescMethodClientStreaming
  | DescMethodBiDiStreaming;

/** A client of one service on a channel. */
export function createClient<Service extends DescService>(
  service: Service,
  channel: Channel,
): Client<Service> {
  const client: Record<string, unknown> = {};
  for (const method of service.methods as readonly AnyMethod[]) {
    switch (method.methodKind) {
      case 'unary':
        client[method.localName] = (request: never, options?: CallOptions) =>
          channel.unary(method, request, options);
        break;
      case 'server_streaming':
        client[method.localName] = (request: never, options?: CallOptions) =>
          channel.serverStream(method, request, options);
        break;
      case 'client_streaming':
        client[method.localName] = (requests: never, options?: CallOptions) =>
          channel.clientStream(method, requests, options);
        break;
      case 'bidi_streaming':
        client[method.localName] = (requests: never, options?: CallOptions) =>
          channel.bidiStream(method, requests, options);
        break;
    }
  }
  return client as Client<Service>;
}

/** Clients of all of a server's services on one channel. */
export interface Clients {
  readonly telemetry: Client<typeof TelemetryService>;
  readonly energy: Client<typeof EnergyService>;
  readonly proofs: Client<typeof ProofService>;
  readonly feedback: Client<typeof FeedbackService>;
  readonly diffusion: Client<typeof DiffusionService>;
  readonly resilience: Client<typeof ResilienceService>;
  readonly thermodynamics: Client<typeof ThermodynamicsService>;
  readonly session: Client<typeof SessionService>;
  readonly ledger: Client<typeof LedgerService>;
  readonly auth: Client<typeof AuthService>;
  readonly users: Client<typeof UserService>;
  readonly apiKeys: Client<typeof ApiKeyService>;
  readonly audit: Client<typeof AuditService>;
  /** Ends the connection; calls under way fail. */
  close(): void;
}

/** Connects on the first call. Throws when a TLS file cannot be read. */
export function createClients(options: ChannelOptions): Clients {
  const channel = openChannel(options);
  return {
    telemetry: createClient(TelemetryService, channel),
    energy: createClient(EnergyService, channel),
    proofs: createClient(ProofService, channel),
    feedback: createClient(FeedbackService, channel),
    diffusion: createClient(DiffusionService, channel),
    resilience: createClient(ResilienceService, channel),
    thermodynamics: createClient(ThermodynamicsService, channel),
    session: createClient(SessionService, channel),
    ledger: createClient(LedgerService, channel),
    auth: createClient(AuthService, channel),
    users: createClient(UserService, channel),
    apiKeys: createClient(ApiKeyService, channel),
    audit: createClient(AuditService, channel),
    close: channel.close,
  };
}
