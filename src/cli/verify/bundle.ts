/**
 * What `verify` is given, which says by its content what it is. A checkpoint is a signed note, a receipt alone its bytes,
 * everything else the JSON of a reply, as `buf curl` prints it. Reading is strict: JSON that does not say exactly what its message says
 * again is refused, so that no byte can differ unseen.
 */
import { type DescMessage, fromJson, type JsonValue, type MessageShape, toJson } from '@bufbuild/protobuf';
import { parseReceipt } from '../../energy/context.ts';
import { GetProofResponseSchema, type Proof } from '../../gen/homeostat/energy/v1/proof_service_pb.ts';
import {
  type ExportAuditResponse,
  ExportAuditResponseSchema,
} from '../../gen/homeostat/identity/v1/audit_service_pb.ts';
import {
  GetCheckpointResponseSchema,
  type GetConsistencyProofResponse,
  GetConsistencyProofResponseSchema,
  type GetInclusionProofResponse,
  GetInclusionProofResponseSchema,
} from '../../gen/homeostat/ledger/v1/ledger_service_pb.ts';
import type { Checkpoint } from '../../gen/homeostat/type/v1/ledger_pb.ts';
import { unusable } from '../failure.ts';

export type Bundle =
  | { readonly kind: 'note'; readonly note: string }
  | { readonly kind: 'checkpoint'; readonly checkpoint: Checkpoint | undefined }
  | { readonly kind: 'entry'; readonly reply: GetInclusionProofResponse }
  | { readonly kind: 'consistency'; readonly reply: GetConsistencyProofResponse }
  | { readonly kind: 'audit'; readonly items: readonly ExportAuditResponse[] }
  | ProofBundle;

/** A proof of ProofService. */
export interface ProofBundle {
  readonly kind: 'proof';
  /** A serialized ProofReceipt. */
  readonly receipt: Uint8Array;
  /** What the reply says around it; undefined for the receipt alone. */
  readonly proof: Proof | undefined;
}

/** What an empty line and a signature line look like: em dash, name, base64. */
const SIGNATURE = '\n\n\u2014 ';

/** Recognizes what bytes are. Throws a CliFailure (2) for anything else. */
export function readBundle(bytes: Uint8Array): Bundle {
  if (parseReceipt(bytes)) return { kind: 'proof', receipt: bytes, proof: undefined };
  const text = readText(bytes, 'the file');
  if (!/^\s*\{/.test(text)) {
    if (text.includes(SIGNATURE)) return { kind: 'note', note: text };
    throw unusable('the file is neither a signed note nor JSON');
  }
  const values = readJsonValues(text, 'the file');
  const [first] = values;
  const holds = (name: string) => first !== undefined && name in first;
  if (holds('anchor') || (holds('entry') && !holds('proof')))
    return { kind: 'audit', items: values.map((value) => decode(ExportAuditResponseSchema, value)) };
  if (values.length > 1) throw unusable('the file holds several replies, and not those of ExportAudit');
  if (holds('firstCheckpoint') || holds('secondCheckpoint'))
    return { kind: 'consistency', reply: decode(GetConsistencyProofResponseSchema, first!) };
  if (isObject(first?.['proof'])) {
    const { proof } = decode(GetProofResponseSchema, first!);
    return { kind: 'proof', receipt: proof!.receipt, proof };
  }
  if (holds('leafData')) return { kind: 'entry', reply: decode(GetInclusionProofResponseSchema, first!) };
  if (holds('checkpoint'))
    return { kind: 'checkpoint', checkpoint: decode(GetCheckpointResponseSchema, first!).checkpoint };
  throw unusable(
    'the file is no reply of GetCheckpoint, GetInclusionProof, GetConsistencyProof, ExportAudit or GetProof',
  );
}

function isObject(value: JsonValue | undefined): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Text of UTF-8 bytes. Throws a CliFailure (2) for others. */
export function readText(bytes: Uint8Array, what: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw unusable(`${what} is not text in UTF-8`, error);
  }
}

type JsonObject = { readonly [name: string]: JsonValue };

/** The JSON objects that a text consists of, one after the other. Throws a CliFailure (2) for other texts. */
export function readJsonValues(text: string, what: string): readonly JsonObject[] {
  const values: JsonObject[] = [];
  for (let at = skipSpace(text, 0); at < text.length; ) {
    const end = objectEnd(text, at);
    try {
      values.push(JSON.parse(text.slice(at, end)));
    } catch (error) {
      throw unusable(`${what} holds JSON that is damaged or cut off`, error);
    }
    at = skipSpace(text, end);
  }
  return values;
}

function skipSpace(text: string, from: number): number {
  const space = /[ \t\r\n]*/y;
  space.lastIndex = from;
  space.exec(text);
  return space.lastIndex;
}

/** Where the object that begins here ends; the end of the text where it does not. */
function objectEnd(text: string, from: number): number {
  let depth = 0;
  let isQuoted = false;
  for (let at = from; at < text.length; at++) {
    const char = text[at];
    if (isQuoted) {
      if (char === '\\') at++;
      else if (char === '"') isQuoted = false;
    } else if (char === '"') isQuoted = true;
    else if (char === '{') depth++;
    else if (char === '}' && --depth === 0) return at + 1;
    else if (depth === 0) return text.length;
  }
  return text.length;
}

/** A message that is written down like this and in no other way. Throws a CliFailure (2) otherwise. */
export function decode<Schema extends DescMessage>(schema: Schema, value: JsonObject): MessageShape<Schema> {
  let message: MessageShape<Schema>;
  try {
    message = fromJson(schema, value);
  } catch (error) {
    throw unusable(`the file holds no ${schema.name}`, error);
  }
  if (!isSaidBy(value, toJson(schema, message, { alwaysEmitImplicit: true })))
    throw unusable(`the file holds a ${schema.name} that is not written as it should be`);
  return message;
}

/** Whether everything in `given` is in `written`, which may say more: fields that have their default. */
function isSaidBy(given: JsonValue | undefined, written: JsonValue | undefined): boolean {
  if (Array.isArray(given))
    return (
      Array.isArray(written) &&
      given.length === written.length &&
      given.every((item, i) => isSaidBy(item, written[i]))
    );
  if (typeof given !== 'object' || given === null) return given === written;
  if (typeof written !== 'object' || written === null || Array.isArray(written)) return false;
  return Object.entries(given).every(([name, item]) => isSaidBy(item, written[name]));
}
