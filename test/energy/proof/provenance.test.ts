/** Every fault of origin by example. */
import { createPrivateKey, generateKeyPairSync, sign } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { type Origin, originFaults, type Parent } from '../../../src/energy/proof/provenance.ts';

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
  const { value, detail } = originFaults({ ...origin, ...over }, parent, NOW_MS);
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
