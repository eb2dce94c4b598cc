/** The table of reasons and the contract name the same ones. */
import { expect, test } from '@jest/globals';
import { diffusionError } from '../../src/diffusion/errors.ts';
import { ErrorReasonSchema } from '../../src/gen/homeostat/diffusion/v1/error_reason_pb.ts';

test('the reasons of diffusion are those of its contract', () => {
  const named = ErrorReasonSchema.values.map(({ localName }) => localName);
  expect(Object.keys(diffusionError.table).sort()).toEqual(
    named.filter((name) => name !== 'UNSPECIFIED').sort(),
  );
});
