/**
 * The only mapping from errors to gRPC: `google.rpc.Status` with exactly one ErrorInfo in the trailer
 * `grpc-status-details-bin`, and details by kind: BadRequest, PreconditionFailure, QuotaFailure, RetryInfo. Every
 * RetryInfo is accompanied by `grpc-retry-pushback-ms`, which stock clients obey. The text begins with the reason,
 * since many tools show details only as base64. Texts and details are bounded: clients refuse long trailers.
 */
import { create, createRegistry, toBinary } from '@bufbuild/protobuf';
import { type Any, anyPack, durationFromMs } from '@bufbuild/protobuf/wkt';
import { Metadata, status } from '@grpc/grpc-js';
import { AppError, type FieldViolation } from '../errors.ts';
import {
  BadRequestSchema,
  ErrorInfoSchema,
  PreconditionFailureSchema,
  QuotaFailureSchema,
  RetryInfoSchema,
} from '../gen/google/rpc/error_details_pb.ts';
import { type Status, StatusSchema } from '../gen/google/rpc/status_pb.ts';
import { edgeError } from './errors.ts';

/** How a call ends, in grpc-js's terms. */
export interface CallStatus {
  readonly code: status;
  readonly details: string;
  readonly metadata: Metadata;
}

/** Characters of the text. */
const TEXT_MAX = 1024;
/** Characters of one value of metadata, path or description. */
const VALUE_MAX = 256;
/** Bytes of all details; several clients refuse trailers over 8 KiB, and base64 adds a third. */
const DETAILS_BYTES_MAX = 4096;

/** The error itself when it is an AppError; anything else becomes INTERNAL with fixed text and the request id. */
export function toAppError(thrown: unknown, requestId: () => string): AppError {
  if (thrown instanceof AppError) return thrown;
  return edgeError('INTERNAL', { request_id: requestId() }, { cause: thrown });
}

export function toStatus(error: AppError): CallStatus {
  const metadata = new Metadata();
  metadata.set('grpc-status-details-bin', encodeDetails(error));
  if (error.retryAfterMs !== undefined)
    metadata.set('grpc-retry-pushback-ms', String(Math.ceil(Math.max(-1, error.retryAfterMs))));
  return { code: status[error.kind], details: textOf(error), metadata };
}

/** The types of the details, for writing them as JSON. */
export const detailTypes = createRegistry(
  ErrorInfoSchema,
  BadRequestSchema,
  PreconditionFailureSchema,
  QuotaFailureSchema,
  RetryInfoSchema,
);

/** What went wrong as a message of its own, for what is answered another way than by gRPC. */
export function toStatusMessage(error: AppError): Status {
  return fittingStatus(error).message;
}

function encodeDetails(error: AppError): Buffer {
  const { bytes } = fittingStatus(error);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Drops violations from the end until the details fit. */
function fittingStatus(error: AppError): { readonly message: Status; readonly bytes: Uint8Array } {
  const code = status[error.kind];
  for (let count = error.violations.length; ; count >>= 1) {
    const details = [errorInfo(error), ...detailsByKind(error, error.violations.slice(0, count))];
    const message = create(StatusSchema, { code, message: textOf(error), details });
    const bytes = toBinary(StatusSchema, message);
    if (bytes.length <= DETAILS_BYTES_MAX || count === 0) return { message, bytes };
  }
}

function textOf(error: AppError): string {
  return bounded(`${error.reason}: ${error.message}`, TEXT_MAX);
}

function errorInfo(error: AppError): Any {
  const metadata: Record<string, string> = {};
  for (const [key, value] of Object.entries(error.metadata)) metadata[key] = bounded(value, VALUE_MAX);
  const { reason, domain } = error;
  return anyPack(ErrorInfoSchema, create(ErrorInfoSchema, { reason, domain, metadata }));
}

function detailsByKind(error: AppError, violations: readonly FieldViolation[]): Any[] {
  const details: Any[] = [];
  const subject = `${error.domain}/${error.reason}`;
  const description = bounded(error.message, VALUE_MAX);
  if (violations.length > 0) {
    const fieldViolations = violations.map((violation) => ({
      field: bounded(violation.field, VALUE_MAX),
      description: bounded(violation.description, VALUE_MAX),
    }));
    details.push(anyPack(BadRequestSchema, create(BadRequestSchema, { fieldViolations })));
  }
  if (error.kind === 'FAILED_PRECONDITION') {
    const violation = { type: error.reason, subject: error.domain, description };
    details.push(
      anyPack(PreconditionFailureSchema, create(PreconditionFailureSchema, { violations: [violation] })),
    );
  }
  if (error.kind === 'RESOURCE_EXHAUSTED')
    details.push(
      anyPack(QuotaFailureSchema, create(QuotaFailureSchema, { violations: [{ subject, description }] })),
    );
  if (error.retryAfterMs !== undefined && error.retryAfterMs >= 0) {
    const retryDelay = durationFromMs(Math.ceil(error.retryAfterMs));
    details.push(anyPack(RetryInfoSchema, create(RetryInfoSchema, { retryDelay })));
  }
  return details;
}

/** At most `max` characters of well-formed text: a lone surrogate cannot be sent. */
function bounded(text: string, max: number): string {
  const cut = text.length > max ? `${text.slice(0, max - 1)}…` : text;
  return cut.replace(/[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g, '\uFFFD');
}
