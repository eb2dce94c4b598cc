/**
 * The one error type the product throws on purpose, and the typed tables its reasons come from. Knows no transport:
 * `rpc/status.ts` turns it into a gRPC status. Expected refusals inside the domain are return values, not errors.
 */

/** What went wrong, one to one with the gRPC codes. */
export type ErrorKind =
  | 'CANCELLED'
  | 'INVALID_ARGUMENT'
  | 'DEADLINE_EXCEEDED'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'PERMISSION_DENIED'
  | 'RESOURCE_EXHAUSTED'
  | 'FAILED_PRECONDITION'
  | 'ABORTED'
  | 'OUT_OF_RANGE'
  | 'UNIMPLEMENTED'
  | 'INTERNAL'
  | 'UNAVAILABLE'
  | 'DATA_LOSS'
  | 'UNAUTHENTICATED';

/** One broken field: its path (`map.grid.values[3]`) and what it must be. */
export interface FieldViolation {
  readonly field: string;
  readonly description: string;
}

export interface ErrorDetails {
  /** When a retry makes sense, in milliseconds; -1 where retrying cannot help. */
  readonly retryAfterMs?: number;
  readonly violations?: readonly FieldViolation[];
  readonly cause?: unknown;
}

export class AppError extends Error {
  readonly domain: string;
  readonly reason: string;
  readonly kind: ErrorKind;
  readonly metadata: Readonly<Record<string, string>>;
  readonly retryAfterMs: number | undefined;
  readonly violations: readonly FieldViolation[];

  constructor(
    at: { domain: string; reason: string; kind: ErrorKind; message: string },
    metadata: Readonly<Record<string, string>> = {},
    details: ErrorDetails = {},
  ) {
    super(at.message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'AppError';
    this.domain = at.domain;
    this.reason = at.reason;
    this.kind = at.kind;
    this.metadata = metadata;
    this.retryAfterMs = details.retryAfterMs;
    this.violations = details.violations ?? [];
  }
}

/** One row of a reason table: the code, the metadata it carries, and the text computed from that metadata. */
export interface ReasonRow<Keys extends string = string> {
  readonly kind: ErrorKind;
  readonly metadata: readonly Keys[];
  readonly message: (metadata: Readonly<Record<Keys, string>>) => string;
}

export function reason<const Keys extends string>(
  kind: ErrorKind,
  metadata: readonly Keys[],
  message: (metadata: Readonly<Record<Keys, string>>) => string,
): ReasonRow<Keys> {
  return { kind, metadata, message };
}

type KeysOf<Row> = Row extends ReasonRow<infer Keys> ? Keys : never;
type AnyRow = { kind: ErrorKind; metadata: readonly string[]; message: (metadata: never) => string };

/** Makes a context's errors: `energyError('STREAM_NOT_FOUND', { domain, cluster })`. */
export interface ErrorFactory<Table extends Record<string, AnyRow>> {
  <Reason extends keyof Table & string>(
    reason: Reason,
    metadata: Readonly<Record<KeysOf<Table[Reason]>, string | number | bigint>>,
    details?: ErrorDetails,
  ): AppError;
  readonly domain: string;
  readonly table: Table;
}

/** `domain` is `homeostat.<context>`; the table's keys are the values of the context's ErrorReason enum. */
export function defineErrors<const Table extends Record<string, AnyRow>>(
  domain: string,
  table: Table,
): ErrorFactory<Table> {
  const make = (name: string, given: Record<string, string | number | bigint>, details?: ErrorDetails) => {
    const row = table[name] as unknown as ReasonRow;
    const metadata: Record<string, string> = {};
    for (const key of row.metadata) metadata[key] = String(given[key]);
    return new AppError(
      { domain, reason: name, kind: row.kind, message: row.message(metadata) },
      metadata,
      details,
    );
  };
  return Object.assign(make, { domain, table }) as unknown as ErrorFactory<Table>;
}

/** Row shared by every context: a field breaks a rule. The violations travel in the details. */
export const fieldInvalid = reason('INVALID_ARGUMENT', [], () => 'a field breaks a rule');

/** FIELD_INVALID of a context, the text naming the first fields. */
export function fieldError(domain: string, violations: readonly FieldViolation[]): AppError {
  const shown = violations.slice(0, 3).map((v) => `${v.field}: ${v.description}`);
  const more = violations.length > shown.length ? ` (and ${violations.length - shown.length} more)` : '';
  return new AppError(
    { domain, reason: 'FIELD_INVALID', kind: 'INVALID_ARGUMENT', message: shown.join('; ') + more },
    {},
    { violations },
  );
}

/** The text of anything thrown. */
export function describeError(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
