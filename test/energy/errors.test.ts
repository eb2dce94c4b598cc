/** Every reason of the contract has its row, and every row its reason. */
import { expect, test } from '@jest/globals';
import { energyError } from '../../src/energy/errors.ts';
import { ErrorReasonSchema } from '../../src/gen/homeostat/energy/v1/error_reason_pb.ts';

test('the reasons of energy are those of its contract', () => {
  const named = ErrorReasonSchema.values.map(({ localName }) => localName);
  expect(Object.keys(energyError.table).sort()).toEqual(
    named.filter((name) => name !== 'UNSPECIFIED').sort(),
  );
});
