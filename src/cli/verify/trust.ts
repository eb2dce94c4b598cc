/** Which keys `verify` trusts: a file of verifier keys, one a line, or the JSON reply of GetLogKeys. */
import { GetLogKeysResponseSchema } from '../../gen/homeostat/ledger/v1/ledger_service_pb.ts';
import { parseVerifierKey, type VerifierKey } from '../../ledger/context.ts';
import { unusable } from '../failure.ts';
import { decode, readJsonValues, readText } from './bundle.ts';

const WHAT = 'the file of trusted keys';

/** The keys of a file, log and witnesses alike. Throws a CliFailure (2) for a line that is no key, and for none at all. */
export function readTrust(bytes: Uint8Array): readonly VerifierKey[] {
  const text = readText(bytes, WHAT);
  const notations = /^\s*\{/.test(text) ? keysOfReply(text) : keysOfLines(text);
  if (notations.length === 0) throw unusable(`${WHAT} holds none`);
  return notations.map((notation) => {
    const key = parseVerifierKey(notation);
    if (key === undefined)
      throw unusable(`${WHAT} holds "${notation}", which is no Ed25519 key of the form name+id+base64`);
    return key;
  });
}

function keysOfLines(text: string): string[] {
  const lines = text.split('\n').map((line) => line.trim());
  return lines.filter((line) => line !== '' && !line.startsWith('#'));
}

function keysOfReply(text: string): string[] {
  const [value] = readJsonValues(text, WHAT);
  const { logKeys, witnesses } = decode(GetLogKeysResponseSchema, value!);
  return [...logKeys, ...witnesses].map(({ vkey }) => vkey);
}
