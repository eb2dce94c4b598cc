/** The reason table is the contract's enum. */
import { expect, test } from '@jest/globals';
import { ErrorReason } from '../../src/gen/homeostat/resilience/v1/error_reason_pb.ts';
import { resilienceError } from '../../src/resilience/errors.ts';

test('every reason of the contract has a row, and every row is a reason of the contract', () => {
  const reasons = Object.keys(ErrorReason).filter((name) => name !== 'UNSPECIFIED');
  expect(Object.keys(resilienceError.table).sort()).toEqual(reasons.sort());
});

test('an unknown cell is named in text and metadata', () => {
  const error = resilienceError('CELL_NOT_FOUND', { domain: 'fleet', cluster: 'c1' });
  expect(error).toMatchObject({
    kind: 'NOT_FOUND',
    metadata: { domain: 'fleet', cluster: 'c1' },
    message: 'there is no cell fleet/c1',
  });
});
