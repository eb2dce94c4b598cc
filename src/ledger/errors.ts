/** The reasons ledger can give, domain `homeostat.ledger`; those of a failed start are for the operator and never travel. */
import { defineErrors, fieldInvalid, reason } from '../errors.ts';

export const ledgerError = defineErrors('homeostat.ledger', {
  FIELD_INVALID: fieldInvalid,
  ENTRY_NOT_FOUND: reason(
    'NOT_FOUND',
    ['index', 'size'],
    (m) => `no entry ${m.index}: the log has ${m.size} entries`,
  ),
  ENTRY_CONFLICT: reason(
    'ALREADY_EXISTS',
    ['kind', 'key', 'index'],
    (m) => `${m.kind} ${m.key} was appended with another payload at ${m.index}`,
  ),
  PROOF_RANGE: reason(
    'INVALID_ARGUMENT',
    ['asked', 'size'],
    (m) => `nothing is proven for ${m.asked}: the latest published size is ${m.size}`,
  ),
  WITNESS_NOT_FOUND: reason(
    'NOT_FOUND',
    ['names'],
    (m) => `no signature is by a known witness, signed by: ${m.names || 'nobody'}`,
  ),
  COSIGNATURE_INVALID: reason('INVALID_ARGUMENT', ['detail'], (m) => m.detail),
  LEDGER_READ_ONLY: reason(
    'UNAVAILABLE',
    ['start', 'end'],
    (m) => `nothing is appended: entries ${m.start} up to ${m.end} are damaged`,
  ),
  LEDGER_DAMAGED: reason(
    'DATA_LOSS',
    ['start', 'end'],
    (m) => `entries ${m.start} up to ${m.end} are damaged`,
  ),
  NOT_STARTED: reason('UNAVAILABLE', [], () => 'the log has not started'),
});

/** Why the log does not start, in one sentence for the operator. */
export const ledgerStartError = defineErrors('homeostat.ledger', {
  ORIGIN_DIFFERS: reason(
    'FAILED_PRECONDITION',
    ['configured', 'stored'],
    (m) =>
      `the log of this database is named ${m.stored}, not ${m.configured}: its name cannot change, configure that one or none`,
  ),
  ORIGIN_INVALID: reason(
    'INVALID_ARGUMENT',
    ['origin'],
    (m) =>
      `${m.origin} does not name a log: a name has 1 to 200 printable ASCII characters without + and spaces`,
  ),
  WITNESS_INVALID: reason(
    'INVALID_ARGUMENT',
    ['vkey'],
    (m) => `${m.vkey} is not the key of a witness in the notation name+id+base64, with a key of type 0x04`,
  ),
});
