import { describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { ErrorReason } from '../../src/gen/homeostat/edge/v1/error_reason_pb.ts';
import { ConflictError, storeError } from '../../src/store/errors.ts';
import { postgresqlError } from '../../src/store/postgresql.ts';
import { sqliteError } from '../../src/store/sqlite-connection.ts';

/** What an error becomes: the reason, `conflict`, or `itself`. */
function outcome(given: unknown, got: unknown): string {
  if (got === given) return 'itself';
  if (got instanceof ConflictError) return 'conflict';
  expect(got).toMatchObject({ domain: 'homeostat.edge', cause: given, retryAfterMs: expect.any(Number) });
  return (got as { reason: string }).reason;
}

describe('errors of the drivers', () => {
  test.each([
    [13, 'STORAGE_FULL'],
    [4874, 'STORAGE_FULL'], // IOERR_SHMSIZE
    [8, 'STORE_READ_ONLY'],
    [1032, 'STORE_READ_ONLY'], // READONLY_DBMOVED
    [5, 'STORE_DOWN'],
    [517, 'STORE_DOWN'], // BUSY_SNAPSHOT
    [778, 'STORE_DOWN'], // IOERR_WRITE
    [1034, 'STORE_DOWN'], // IOERR_FSYNC
    [11, 'STORE_DOWN'],
    [14, 'STORE_DOWN'],
    [26, 'STORE_DOWN'],
    [2067, 'itself'], // CONSTRAINT_UNIQUE
    [1, 'itself'],
  ])('the SQLite result code %d is %s', (rawCode, expected) => {
    // The text misleads on purpose: only the code may count.
    const error = Object.assign(new Error('database or disk is full'), { code: 'SQLITE', rawCode });
    expect(outcome(error, sqliteError(error))).toBe(expected);
  });

  test.each([
    ['40001', 'conflict'],
    ['40P01', 'conflict'],
    ['53100', 'STORAGE_FULL'],
    ['25006', 'STORE_READ_ONLY'],
    ['08006', 'STORE_DOWN'],
    ['28P01', 'STORE_DOWN'],
    ['3D000', 'STORE_DOWN'],
    ['53300', 'STORE_DOWN'],
    ['57P01', 'STORE_DOWN'],
    ['58030', 'STORE_DOWN'],
    ['XX001', 'STORE_DOWN'],
    ['55P03', 'STORE_DOWN'],
    ['57014', 'STORE_DOWN'],
    ['23505', 'itself'],
    ['42P01', 'itself'],
  ])('the SQLSTATE %s is %s', (code, expected) => {
    const error = Object.assign(new pg.DatabaseError('could not serialize access', 0, 'error'), { code });
    expect(outcome(error, postgresqlError(error))).toBe(expected);
  });

  test('an error of the connection itself, which has no SQLSTATE, is STORE_DOWN', () => {
    const error = Object.assign(new Error('connect'), { code: 'ECONNRESET' });
    expect(outcome(error, postgresqlError(error))).toBe('STORE_DOWN');
  });
});

test('the reasons of the store are among those of the edge contract', () => {
  for (const reason of Object.keys(storeError.table)) expect(ErrorReason).toHaveProperty(reason);
});
