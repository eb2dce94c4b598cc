/** Receipts: the same proof is the same bytes, and no bit of them can differ unnoticed. */
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { gridDigest } from '../../../src/energy/map/digest.ts';
import { idBytes, idText, parseReceipt, writeReceipt } from '../../../src/energy/proof/receipt.ts';
import {
  ProofReceiptBodySchema,
  ProofReceiptSchema,
} from '../../../src/gen/homeostat/energy/v1/proof_service_pb.ts';
import { messageSignatureHolds } from '../../../src/ledger/context.ts';
import { createDerivedSigner } from '../../../src/ledger/note/signer.ts';
import { sha256 } from '../../../src/numeric/merkle.ts';
import { DIGEST_1234 } from './support/proof-world.ts';

const signer = createDerivedSigner(
  'example.org/log',
  'proofs',
  Uint8Array.from({ length: 32 }, (_, i) => i),
);
const signing = (message: Uint8Array) => ({
  signature: signer.signBytes(message),
  signer: signer.verifier.name,
});
const BODY: MessageInitShape<typeof ProofReceiptBodySchema> & { readonly observationDigest: Uint8Array } = {
  proofId: idBytes('018f0000-0000-7000-8000-000000000001'),
  mode: 1,
  verdict: 1,
  qualityPpb: 987_654_321,
  observationDigest: gridDigest(Float32Array.of(1, 2, 3, 4), 2, 2),
  nonce: new Uint8Array(16).fill(5),
  domain: 'plant',
  cluster: 'a',
  capturedAtMs: 1_767_225_600_000n,
  issuedAtMs: 1_767_225_601_234n,
  claimedRegime: 1,
  modelVersion: 3,
  durabilityClass: 'SYNCED',
  outcomes: [7, 11, 15, 19, 23, 27, 31, 35, 37, 41],
};
const { bytes, hash } = writeReceipt(BODY, signing);
const holds = (receipt: Uint8Array) => {
  const parsed = parseReceipt(receipt);
  return (
    parsed !== undefined &&
    parsed.signer === signer.verifier.name &&
    messageSignatureHolds(signer.verifier, parsed.message, parsed.signature)
  );
};

test('a receipt is the same bytes for good', () => {
  expect(Buffer.from(bytes).toString('hex')).toBe(GOLDEN);
  expect(writeReceipt({ ...BODY }, signing)).toEqual({ bytes, hash });
  expect(Buffer.from(BODY.observationDigest).toString('hex')).toBe(DIGEST_1234);
});

test('it says what was written, and its hash is that of its body', () => {
  const parsed = parseReceipt(bytes)!;
  expect(parsed.body).toMatchObject(BODY);
  expect(parsed.signer).toBe('example.org/log/proofs');
  const body = toBinary(ProofReceiptBodySchema, create(ProofReceiptBodySchema, BODY));
  expect(parsed.hash).toEqual(sha256(body));
  expect(hash).toEqual(parsed.hash);
  expect(Buffer.from(parsed.message).toString('latin1')).toMatch(/^homeostat\.proof\.v1\0/);
  expect(holds(bytes)).toBe(true);
});

describe('a receipt somebody has tampered with', () => {
  test('is refused whichever bit is flipped', () => {
    const unnoticed: number[] = [];
    for (let bit = 0; bit < 8 * bytes.length; bit++) {
      const bent = bytes.slice();
      bent[bit >> 3]! ^= 1 << (bit & 7);
      if (holds(bent)) unnoticed.push(bit);
    }
    expect(unnoticed).toEqual([]);
  });

  test('is refused cut off anywhere, or with anything behind it', () => {
    const cut = Array.from(bytes, (_, end) => bytes.subarray(0, end));
    const longer = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(...bytes, byte));
    expect([...cut, ...longer].filter(holds)).toEqual([]);
  });

  test('is refused when it says the same in other bytes', () => {
    const { body, signature, signer: name } = fromParts();
    // Fields in another order, one twice, and one that is not known.
    const parts: [number, Uint8Array][] = [
      [1, body],
      [2, signature],
      [3, name],
    ];
    const written = (some: readonly [number, Uint8Array][]) => {
      const writer = new BinaryWriter();
      for (const [field, value] of some) writer.tag(field, WireType.LengthDelimited).bytes(value);
      return writer.finish();
    };
    expect(holds(written(parts))).toBe(true);
    expect(holds(written([...parts].reverse()))).toBe(false);
    expect(holds(written([parts[0]!, ...parts]))).toBe(false);
    expect(holds(written([...parts, [9, signature]]))).toBe(false);
    // A body with an unknown field is not a body, even signed.
    const odd = Uint8Array.of(...body, 0xf8, 0x07, 0x01);
    const message = Buffer.concat([Buffer.from('homeostat.proof.v1\0'), odd]);
    expect(
      parseReceipt(
        toBinary(ProofReceiptSchema, create(ProofReceiptSchema, { body: odd, ...signing(message) })),
      ),
    ).toBeUndefined();
  });

  function fromParts() {
    const parsed = parseReceipt(bytes)!;
    return {
      body: parsed.message.subarray(19),
      signature: parsed.signature,
      signer: new Uint8Array(Buffer.from(parsed.signer)),
    };
  }

  test('bytes of any kind are no receipt, and break nothing', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), (some) => !holds(some)));
  });

  test('a body without an id or a digest is none', () => {
    for (const lacking of [{ proofId: new Uint8Array(15) }, { observationDigest: new Uint8Array(31) }])
      expect(parseReceipt(writeReceipt({ ...BODY, ...lacking }, signing).bytes)).toBeUndefined();
    const unsigned = writeReceipt(BODY, () => ({ signature: new Uint8Array(63), signer: 'x' }));
    expect(parseReceipt(unsigned.bytes)).toBeUndefined();
    expect(
      parseReceipt(writeReceipt(BODY, () => ({ signature: new Uint8Array(64), signer: '' })).bytes),
    ).toBeUndefined();
  });
});

test('an id is 16 bytes and back', () => {
  fc.assert(
    fc.property(fc.uuid(), (id) => {
      expect(idText(idBytes(id))).toBe(id);
    }),
  );
  expect(idBytes('')).toHaveLength(0);
});

/** By hand: the body's 129 bytes field by field, then the signature and its key's name. */
const GOLDEN =
  '0a8101' + // The body:
  '0a10018f0000000070008000000000000001' + // proof_id
  '10011801' + // mode, verdict
  '20b1d1f9d603' + // quality_ppb
  '2a207e0ae13ac17da554438d2af7008b181cc214643fd19bdafd76ccb3c3da32c86b' + // observation_digest
  '3a1005050505050505050505050505050505' + // nonce
  '4205706c616e744a0161' + // domain, cluster
  '5080d0eab6b73358d2d9eab6b733' + // captured_at_ms, issued_at_ms
  '60017003' + // claimed_regime, model_version
  '7a0653594e434544' + // durability_class
  '9a010a070b0f13171b1f232529' + // outcomes
  '12403362f92dd01d81b58658db0f9bc007da50ccccda398c87dab9e1f843c5caa71efffdd0d718c2f5f0b55977a3fdd7095b751a243b9431b71386f6fa8a6b7d850e' +
  '1a166578616d706c652e6f72672f6c6f672f70726f6f6673';
