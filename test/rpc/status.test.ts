import { fromBinary } from '@bufbuild/protobuf';
import { anyUnpack, type Duration, durationMs } from '@bufbuild/protobuf/wkt';
import { status } from '@grpc/grpc-js';
import { describe, expect, test } from '@jest/globals';
import { AppError, type ErrorDetails, type ErrorKind, fieldError } from '../../src/errors.ts';
import {
  BadRequestSchema,
  ErrorInfoSchema,
  PreconditionFailureSchema,
  QuotaFailureSchema,
  RetryInfoSchema,
} from '../../src/gen/google/rpc/error_details_pb.ts';
import { StatusSchema } from '../../src/gen/google/rpc/status_pb.ts';
import { toAppError, toStatus } from '../../src/rpc/status.ts';

const KINDS: readonly ErrorKind[] = [
  'CANCELLED',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
];
const DETAILS = [
  ErrorInfoSchema,
  BadRequestSchema,
  PreconditionFailureSchema,
  QuotaFailureSchema,
  RetryInfoSchema,
];

function describeError(kind: ErrorKind, details: ErrorDetails = {}) {
  return toStatus(
    new AppError(
      { domain: 'homeostat.test', reason: 'WHY', kind, message: 'because' },
      { size: '3' },
      details,
    ),
  );
}

/** The details in the trailer, by type name. */
function unpack({ metadata }: ReturnType<typeof toStatus>) {
  const bytes = metadata.get('grpc-status-details-bin')[0] as Buffer;
  const carried = fromBinary(StatusSchema, bytes);
  const details = carried.details.map((any) => {
    const found = DETAILS.map((schema) => anyUnpack(any, schema)).find((message) => message !== undefined);
    return found ?? any;
  });
  return { carried, details, types: details.map((detail) => detail.$typeName.replace('google.rpc.', '')) };
}

describe('an AppError on the wire', () => {
  test.each(KINDS)(
    '%s has the code of its kind, text that begins with the reason, and one ErrorInfo',
    (kind) => {
      const result = describeError(kind);
      const { carried, details, types } = unpack(result);
      expect(result.code).toBe(status[kind]);
      expect(result.details).toBe('WHY: because');
      expect(carried).toMatchObject({ code: status[kind], message: 'WHY: because' });
      expect(types.filter((type) => type === 'ErrorInfo')).toHaveLength(1);
      expect(details[0]).toMatchObject({ reason: 'WHY', domain: 'homeostat.test', metadata: { size: '3' } });
    },
  );

  test.each<[ErrorKind, ErrorDetails, string[]]>([
    [
      'INVALID_ARGUMENT',
      { violations: [{ field: 'a.b', description: 'is required' }] },
      ['ErrorInfo', 'BadRequest'],
    ],
    ['FAILED_PRECONDITION', {}, ['ErrorInfo', 'PreconditionFailure']],
    ['RESOURCE_EXHAUSTED', {}, ['ErrorInfo', 'QuotaFailure']],
    ['RESOURCE_EXHAUSTED', { retryAfterMs: 5 }, ['ErrorInfo', 'QuotaFailure', 'RetryInfo']],
    ['UNAVAILABLE', { retryAfterMs: 1_500 }, ['ErrorInfo', 'RetryInfo']],
    ['NOT_FOUND', {}, ['ErrorInfo']],
  ])('%s with %j carries its details', (kind, details, expected) => {
    expect(unpack(describeError(kind, details)).types).toEqual(expected);
  });

  test('says when to retry in both places, rounded up', () => {
    const result = describeError('UNAVAILABLE', { retryAfterMs: 1_234.2 });
    expect(result.metadata.get('grpc-retry-pushback-ms')).toEqual(['1235']);
    const retry = unpack(result).details.find((detail) => detail.$typeName === 'google.rpc.RetryInfo');
    expect(durationMs((retry as unknown as { retryDelay: Duration }).retryDelay)).toBe(1_235);
  });

  test('says that retrying cannot help with -1 and no RetryInfo', () => {
    const result = describeError('RESOURCE_EXHAUSTED', { retryAfterMs: -1 });
    expect(result.metadata.get('grpc-retry-pushback-ms')).toEqual(['-1']);
    expect(unpack(result).types).not.toContain('RetryInfo');
  });

  test('without a retry delay says nothing about one', () => {
    expect(describeError('NOT_FOUND').metadata.get('grpc-retry-pushback-ms')).toEqual([]);
  });

  test('names the first broken fields in its text', () => {
    const violations = ['a', 'b', 'c', 'd'].map((field) => ({ field, description: 'is required' }));
    expect(toStatus(fieldError('homeostat.test', violations)).details).toBe(
      'FIELD_INVALID: a: is required; b: is required; c: is required (and 1 more)',
    );
  });

  test('stays small enough for every client, however much it has to say', () => {
    const violations = Array.from({ length: 16 }, (_, i) => ({
      field: `f${i}${'x'.repeat(500)}`,
      description: 'y'.repeat(500),
    }));
    const result = toStatus(fieldError('homeostat.test', violations));
    expect((result.metadata.get('grpc-status-details-bin')[0] as Buffer).length).toBeLessThanOrEqual(4_096);
    const { details } = unpack(result);
    const fields = (details[1] as { fieldViolations: { field: string }[] }).fieldViolations;
    expect(fields.length).toBeGreaterThanOrEqual(4);
    expect(fields[0]!.field).toHaveLength(256);
  });
});

describe('anything else thrown', () => {
  test('becomes INTERNAL with the request id and none of its text', () => {
    const cause = new TypeError('x is undefined');
    const error = toAppError(cause, () => 'r-7');
    expect(error).toMatchObject({ kind: 'INTERNAL', reason: 'INTERNAL', domain: 'homeostat.edge', cause });
    expect(toStatus(error).details).toBe('INTERNAL: a fault of the server, logged as request r-7');
  });

  test('an AppError stays itself and asks for no id', () => {
    const error = new AppError({ domain: 'd', reason: 'R', kind: 'ABORTED', message: 'm' });
    const fail = () => {
      throw new Error('asked');
    };
    expect(toAppError(error, fail)).toBe(error);
  });
});
