/**
 * Receipts: what a proof says in bytes, and the signature over them. The body is protobuf with its fields in order, no
 * unknown ones and no floating-point numbers, so that the same proof is the same bytes; whatever is written otherwise is
 * no receipt. Signed is "homeostat.proof.v1", a zero byte and the body. Pure: verified without a server.
 */
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import {
  type ProofReceiptBody,
  ProofReceiptBodySchema,
  ProofReceiptSchema,
} from '../../gen/homeostat/energy/v1/proof_service_pb.ts';
import { HASH_BYTES, sameHash, sha256 } from '../../numeric/merkle.ts';

/** A receipt taken apart; its signature is not verified. */
export interface Receipt {
  readonly body: ProofReceiptBody;
  /** What is signed. */
  readonly message: Uint8Array;
  /** 64 bytes. */
  readonly signature: Uint8Array;
  /** Name of the key that signed. */
  readonly signer: string;
  /** SHA-256 of the body: what the stream's next receipt names. */
  readonly hash: Uint8Array;
}

const PREFIX = Buffer.from('homeostat.proof.v1\0');
const SIGNATURE_BYTES = 64;
const ID_BYTES = 16;
const STRICT = { writeUnknownFields: false };

/** Writes and signs a receipt; its bytes and the hash of its body. */
export function writeReceipt(
  body: MessageInitShape<typeof ProofReceiptBodySchema>,
  sign: (message: Uint8Array) => { readonly signature: Uint8Array; readonly signer: string },
): { readonly bytes: Uint8Array; readonly hash: Uint8Array } {
  const written = toBinary(ProofReceiptBodySchema, create(ProofReceiptBodySchema, body));
  const signed = sign(Buffer.concat([PREFIX, written]));
  const receipt = create(ProofReceiptSchema, { body: written, ...signed });
  return { bytes: toBinary(ProofReceiptSchema, receipt), hash: sha256(written) };
}

/** Reads a receipt; undefined for bytes that `writeReceipt` does not write. */
export function parseReceipt(bytes: Uint8Array): Receipt | undefined {
  const receipt = decodeExact(ProofReceiptSchema, bytes);
  if (receipt?.signature.length !== SIGNATURE_BYTES || receipt.signer === '') return undefined;
  const body = decodeExact(ProofReceiptBodySchema, receipt.body);
  if (body?.proofId.length !== ID_BYTES || body.observationDigest.length !== HASH_BYTES) return undefined;
  return {
    body,
    message: Buffer.concat([PREFIX, receipt.body]),
    signature: receipt.signature,
    signer: receipt.signer,
    hash: sha256(receipt.body),
  };
}

/** A message that is written as exactly these bytes; undefined for others. */
function decodeExact<Schema extends DescMessage>(
  schema: Schema,
  bytes: Uint8Array,
): MessageShape<Schema> | undefined {
  let message: MessageShape<Schema>;
  try {
    message = fromBinary(schema, bytes);
  } catch {
    return undefined; // Not this message, whatever is wrong with it.
  }
  return sameHash(toBinary(schema, message, STRICT), bytes) ? message : undefined;
}

/** The 16 bytes of a UUID; none of an empty text. */
export function idBytes(id: string): Uint8Array {
  return new Uint8Array(Buffer.from(id.replaceAll('-', ''), 'hex'));
}

/** The UUID of 16 bytes, in lower case. */
export function idText(bytes: Uint8Array): string {
  const digits = Buffer.from(bytes).toString('hex');
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
