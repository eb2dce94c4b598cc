/** Every fault of origin by example. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { judgeOrigin, type Origin, type Parent } from '../../../src/energy/proof/provenance.ts';

const NOW_MS = Date.UTC(2026, 0, 2);
const HOUR_MS = 3_600_000;
const stream = { domain: 'plant', cluster: 'a' };
const digest = new Uint8Array(32).fill(7);
const nonce = new Uint8Array(16).fill(9);

const origin: Origin = {
  digest,
  claimedDigest: undefined,
  nonce,
  signature: undefined,
  capturedAtMs: NOW_MS,
  target: undefined,
  stream,
  parentProofId: undefined,
  faults: [],
};
const faults = (over: Partial<Origin>, parent?: Parent) => {
  const { value, detail } = judgeOrigin({ ...origin, ...over }, parent, NOW_MS);
  expect(value).toBe(detail === '' ? 0 : detail.split('; ').length);
  return detail;
};

test('an origin of which nothing else is said has no fault', () => {
  expect(faults({})).toBe('');
});

test('a digest is that of the grid', () => {
  expect(faults({ claimedDigest: digest })).toBe('');
  expect(faults({ claimedDigest: new Uint8Array(32) })).toBe('the digest is of another map');
});

test('a map was captured at most 24 h ago and 60 s ahead', () => {
  expect(faults({ capturedAtMs: NOW_MS - 24 * HOUR_MS })).toBe('');
  expect(faults({ capturedAtMs: NOW_MS - 24 * HOUR_MS - 1 })).toBe('it was captured over 24 h ago');
  expect(faults({ capturedAtMs: NOW_MS + 60_000 })).toBe('');
  expect(faults({ capturedAtMs: NOW_MS + 60_001 })).toBe('it was captured over 60 s ahead');
});

test('what a forecast is proven by was captured in the window it foretold', () => {
  const target = { startMs: NOW_MS - 10_000, endMs: NOW_MS };
  expect(faults({ target })).toBe('');
  expect(faults({ target, capturedAtMs: NOW_MS - 10_000 })).toBe('');
  for (const capturedAtMs of [NOW_MS - 10_001, NOW_MS + 1])
    expect(faults({ target, capturedAtMs })).toBe('it was captured outside the window that was foretold');
});

test('the proof that is followed is there, of the same stream, and of no later map', () => {
  const parentProofId = '018f0000-0000-7000-8000-000000000001';
  const parent = { stream, capturedAtMs: NOW_MS };
  expect(faults({ parentProofId }, parent)).toBe('');
  expect(faults({ parentProofId })).toBe('there is no such proof to follow');
  expect(faults({ parentProofId }, { ...parent, stream: { ...stream, cluster: 'b' } })).toMatch(
    /another stream/,
  );
  expect(faults({ parentProofId }, { ...parent, stream: undefined })).toMatch(/another stream/);
  expect(faults({ parentProofId, stream: undefined }, { ...parent, stream: undefined })).toBe('');
  expect(faults({ parentProofId }, { ...parent, capturedAtMs: NOW_MS + 1 })).toMatch(/of a later map/);
});

describe('a signature', () => {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const raw = new Uint8Array(Buffer.from(publicKey.export({ format: 'jwk' }).x!, 'base64url'));
  const signed = (message: Uint8Array) => ({
    publicKey: raw,
    signature: new Uint8Array(sign(null, message, privateKey)),
  });
  const message = Buffer.concat([Buffer.from('homeostat.observation.v1\0'), digest, nonce]);

  test('is over the digest and the nonce, by the key that is named', () => {
    const signature = signed(message);
    expect(faults({ signature })).toBe('');
    expect(faults({ signature, nonce: new Uint8Array(17) })).toBe('the signature is not by that key');
    expect(faults({ signature, digest: new Uint8Array(32) })).toBe('the signature is not by that key');
    expect(faults({ signature: signed(message.subarray(1)) })).toBe('the signature is not by that key');
    for (const at of [0, 31, 63]) {
      const bent = signature.signature.slice();
      bent[at]! ^= 1;
      expect(faults({ signature: { ...signature, signature: bent } })).toBe(
        'the signature is not by that key',
      );
    }
  });

  test('by bytes that are no key does not hold', () => {
    for (let fill = 0; fill < 256; fill += 5) {
      const publicKey = new Uint8Array(32).fill(fill);
      expect(faults({ signature: { ...signed(message), publicKey } })).toBe(
        'the signature is not by that key',
      );
    }
  });

  test("energy.proof by a point of small order is nobody's, though its signatures hold", () => {
    const keys = [
      '0000000000000000000000000000000000000000000000000000000000000000',
      '0000000000000000000000000000000000000000000000000000000000000080',
      '0100000000000000000000000000000000000000000000000000000000000000',
      '0100000000000000000000000000000000000000000000000000000000000080',
      '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
      '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85',
      'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
      'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa',
      'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
      'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
    ].map((hex) => new Uint8Array(Buffer.from(hex, 'hex')));
    const forged: Uint8Array[] = [new Uint8Array(64)];
    for (const key of keys) forged.push(Uint8Array.from([...key, ...new Uint8Array(32)]));
    let held = 0;
    for (const key of keys)
      for (const bytes of forged)
        for (let nth = 0; nth < 16; nth++) {
          const own = new Uint8Array(16).fill(nth);
          const message = Buffer.concat([Buffer.from('homeostat.observation.v1\0'), digest, own]);
          const der = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), key]);
          if (verify(null, message, createPublicKey({ key: der, format: 'der', type: 'spki' }), bytes))
            held++;
          const judged = judgeOrigin(
            { ...origin, nonce: own, signature: { publicKey: key, signature: bytes } },
            undefined,
            NOW_MS,
          );
          expect(judged).toMatchObject({ value: 1, submitterKey: undefined });
        }
    // What is refused is no rumor: the library by itself takes many of them.
    expect(held).toBeGreaterThan(100);
  });

  test('by a published key holds for this message alone', () => {
    // RFC 8032, section 7.1, test 1, where nothing is signed.
    const seed = '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60';
    const der = Buffer.concat([
      Buffer.from('302e020100300506032b657004220420', 'hex'),
      Buffer.from(seed, 'hex'),
    ]);
    const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
    const known = {
      publicKey: Buffer.from('d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a', 'hex'),
      signature: Buffer.from(
        'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
        'hex',
      ),
    };
    expect(faults({ signature: known })).toBe('the signature is not by that key');
    expect(faults({ signature: { ...known, signature: sign(null, message, key) } })).toBe('');
  });
});

test('all faults are counted, those found before among them', () => {
  const detail = faults({ faults: ['it is odd'], claimedDigest: nonce, capturedAtMs: 0 });
  expect(detail).toBe('it is odd; the digest is of another map; it was captured over 24 h ago');
});
