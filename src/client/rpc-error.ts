/**
 * What a failed call says. The server describes every refusal with `google.rpc` details in the trailer
 * `grpc-status-details-bin`; this file reads them. Decide by `code` and `reason`, never by the text.
 */
import { fromBinary } from '@bufbuild/protobuf';
import { anyUnpack, type Duration } from '@bufbuild/protobuf/wkt';
import { type Metadata, type ServiceError, status } from '@grpc/grpc-js';
import type { ErrorKind, FieldViolation } from '../errors.ts';
import {
  BadRequestSchema,
  ErrorInfoSchema,
  PreconditionFailureSchema,
  QuotaFailureSchema,
  RetryInfoSchema,
} from '../gen/google/rpc/error_details_pb.ts';
import { type Status, StatusSchema } from '../gen/google/rpc/status_pb.ts';

/** A gRPC code by name; UNKNOWN comes only from servers or proxies that are not Homeostat's. */
export type RpcCode = ErrorKind | 'UNKNOWN';

/** A call that failed, with everything the server said about it. */
export class RpcError extends Error {
  /** The gRPC code. */
  readonly code: RpcCode;
  /** Reason within `domain` (`ADMISSION_REFUSED`); empty when the failure did not come from a Homeostat server. */
  readonly reason: string;
  /** Who defines the reason (`homeostat.session`); empty with an empty reason. */
  readonly domain: string;
  /** What the text was made of. */
  readonly metadata: Readonly<Record<string, string>>;
  /** When a retry makes sense, in milliseconds; -1 where retrying cannot help; undefined when the server did not say. */
  readonly retryAfterMs: number | undefined;
  /** Broken fields, unmet preconditions or used-up quotas; a quota's field is what it is about. */
  readonly violations: readonly FieldViolation[];

  constructor(
    at: { code: RpcCode; reason: string; domain: string; message: string },
    details: {
      readonly metadata?: Readonly<Record<string, string>>;
      readonly retryAfterMs?: number | undefined;
      readonly violations?: readonly FieldViolation[];
      readonly cause?: unknown;
    } = {},
  ) {
    super(at.message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'RpcError';
    this.code = at.code;
    this.reason = at.reason;
    this.domain = at.domain;
    this.metadata = details.metadata ?? {};
    this.retryAfterMs = details.retryAfterMs;
    this.violations = details.violations ?? [];
  }
}

/** Reads an error of grpc-js. Anything else thrown by a call (a failed encoding, say) is returned as it is. */
export function decodeError(error: unknown): Error {
  if (!isServiceError(error)) return error instanceof Error ? error : new Error(String(error));
  const code = (status[error.code] ?? 'UNKNOWN') as RpcCode;
  const described = readStatus(error.metadata);
  const info = found(described, ErrorInfoSchema);
  const retry = found(described, RetryInfoSchema)?.retryDelay;
  return new RpcError(
    { code, reason: info?.reason ?? '', domain: info?.domain ?? '', message: error.details || code },
    {
      metadata: { ...info?.metadata },
      retryAfterMs: pushbackMs(error.metadata) ?? (retry && durationMs(retry)),
      violations: described ? readViolations(described) : [],
      cause: error,
    },
  );
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && typeof (error as Partial<ServiceError>).code === 'number';
}

/** Undefined when there are no details or they are no `google.rpc.Status`: they only add to the code. */
function readStatus(metadata: Metadata | undefined): Status | undefined {
  const bytes = metadata?.get('grpc-status-details-bin')[0];
  if (!(bytes instanceof Uint8Array)) return undefined;
  try {
    return fromBinary(StatusSchema, bytes);
  } catch {
    return undefined; // A proxy's trailer in another form: code and text still stand.
  }
}

type DetailSchema =
  | typeof ErrorInfoSchema
  | typeof RetryInfoSchema
  | typeof BadRequestSchema
  | typeof PreconditionFailureSchema
  | typeof QuotaFailureSchema;

function found<Schema extends DetailSchema>(described: Status | undefined, schema: Schema) {
  for (const detail of described?.details ?? []) {
    const message = anyUnpack(detail, schema);
    if (message) return message;
  }
  return undefined;
}

function readViolations(described: Status): FieldViolation[] {
  const fields = found(described, BadRequestSchema)?.fieldViolations ?? [];
  const conditions = found(described, PreconditionFailureSchema)?.violations ?? [];
  const quotas = found(described, QuotaFailureSchema)?.violations ?? [];
  return [
    ...fields.map(({ field, description }) => ({ field, description })),
    ...[...conditions, ...quotas].map(({ subject, description }) => ({ field: subject, description })),
  ];
}

function pushbackMs(metadata: Metadata | undefined): number | undefined {
  const text = metadata?.get('grpc-retry-pushback-ms')[0];
  if (text === undefined) return undefined;
  const value = Number(text);
  return Number.isInteger(value) && value >= -1 ? value : undefined;
}

function durationMs(duration: Duration): number {
  return Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}
