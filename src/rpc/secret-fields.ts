/**
 * Which requests hold secrets, by the field rule `secret`. A plain digest of a request with a password in it would let
 * whoever reads the digest guess the password at leisure, so none is kept.
 */
import { type DescMessage, getOption, hasOption } from '@bufbuild/protobuf';
import { rules } from '../gen/homeostat/options/v1/field_pb.ts';

/** Whether a field of a message, or of what it contains, is marked secret. Cost: a walk over the type. */
export function holdsSecret(type: DescMessage, seen: ReadonlySet<DescMessage> = new Set()): boolean {
  if (seen.has(type)) return false;
  const walked = new Set([...seen, type]);
  return type.fields.some(
    (field) =>
      (hasOption(field, rules) && getOption(field, rules).secret) ||
      (field.message !== undefined && holdsSecret(field.message, walked)),
  );
}
