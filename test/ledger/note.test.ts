/** Signed notes, checkpoints, keys and cosignatures against known answers, and against every kind of change. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { ErrorReasonSchema } from '../../src/gen/homeostat/ledger/v1/error_reason_pb.ts';
import { ledgerError } from '../../src/ledger/errors.ts';
import { checkpointText, parseCheckpoint, verifyCheckpoint } from '../../src/ledger/note/checkpoint.ts';
import { parseVerifierKey, parseWitness } from '../../src/ledger/note/key.ts';
import { formatNote, parseNote, verifyNote } from '../../src/ledger/note/note.ts';
import { createDerivedSigner, createSigner } from '../../src/ledger/note/signer.ts';
import { leafData, parseLeafData } from '../../src/ledger/tree/entry.ts';
import { createWitness } from './witness.ts';

const seed = (first: number) => Uint8Array.from({ length: 32 }, (_, i) => first + i);
const root8 = Buffer.from('5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328', 'hex');
const signer = createSigner('example.org/log', seed(0));
const text = checkpointText({ origin: 'example.org/log', size: 8n, root: root8 });
const note = formatNote(text, [signer.sign(text)]);
const witness = createWitness('witness.example/w', seed(40));
const cosigned = formatNote(text, [signer.sign(text), witness.cosign(text, 1_700_000_000)]);

describe('known answers', () => {
  test('the checkpoint of the eight known leaves', () => {
    expect(signer.verifier.id).toBe('98af023b');
    const known = '2R6MmwrHx7vcvK8TrXvV9DJl0FveNLXxY8AAUxmJTQbcS/kaa8H307iLrLlK44yYiZR7tmrRMgZQC7R9JSdGDg==';
    const line = signer.sign(text).split(' ');
    expect(line.slice(0, 2)).toEqual(['\u2014', 'example.org/log']);
    const bytes = Buffer.from(line[2]!, 'base64');
    expect(bytes.subarray(0, 4).toString('hex')).toBe('98af023b');
    expect(bytes.subarray(4).toString('base64')).toBe(known);
    expect(text).toBe(`example.org/log\n8\n${root8.toString('base64')}\n`);
  });

  test('the key and note of the package sumdb/note of Go', () => {
    // Example of golang.org/x/mod/sumdb/note (BSD-3-Clause).
    const vkey = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW';
    const signed =
      "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    expect(verifyNote(signed, [parseVerifierKey(vkey)!])).toMatchObject({ valid: true });
    expect(verifyNote(signed.replace('think', 'thing'), [parseVerifierKey(vkey)!])).toEqual({
      valid: false,
      because: 'SIGNATURE_INVALID',
    });
  });
});

describe('notes', () => {
  test('a checkpoint is verified against trusted keys, with as many witnesses as are asked for', () => {
    const keys = [signer.verifier, witness.key];
    expect(verifyCheckpoint(note, keys)).toMatchObject({ valid: true, witnesses: 0 });
    expect(verifyCheckpoint(cosigned, keys, 1)).toMatchObject({
      valid: true,
      witnesses: 1,
      checkpoint: { origin: 'example.org/log', size: 8n },
    });
    expect(verifyCheckpoint(note, keys, 1)).toEqual({ valid: false, because: 'TOO_FEW_WITNESSES' });
    expect(verifyCheckpoint(cosigned, [signer.verifier], 1)).toEqual({
      valid: false,
      because: 'TOO_FEW_WITNESSES',
    });
    expect(verifyCheckpoint(cosigned, [witness.key])).toEqual({ valid: false, because: 'NOT_SIGNED' });
    const other = createSigner('example.org/log', seed(1)).verifier;
    expect(verifyCheckpoint(note, [other])).toEqual({ valid: false, because: 'NOT_SIGNED' });
    const renamed = createSigner('example.org/other', seed(0));
    const foreign = formatNote(text, [renamed.sign(text)]);
    expect(verifyCheckpoint(foreign, [renamed.verifier])).toEqual({ valid: false, because: 'NOT_SIGNED' });
    const notCheckpoint = formatNote('hello\n', [signer.sign('hello\n')]);
    expect(verifyCheckpoint(notCheckpoint, keys)).toEqual({ valid: false, because: 'MALFORMED' });
  });

  test('no change of a single character of a cosigned checkpoint leaves it valid with its witness', () => {
    const keys = [signer.verifier, witness.key];
    for (let at = 0; at < cosigned.length; at++) {
      const changed = `${cosigned.slice(0, at)}${String.fromCharCode(cosigned.charCodeAt(at) ^ 1)}${cosigned.slice(at + 1)}`;
      expect({ at, valid: verifyCheckpoint(changed, keys, 1).valid }).toEqual({ at, valid: false });
    }
  });

  test('a signature under a known name by another key is ignored, one by the known key that fails spoils the note', () => {
    const stranger = createSigner('example.org/log', seed(9));
    const both = formatNote(text, [stranger.sign(text), signer.sign(text)]);
    expect(verifyNote(both, [signer.verifier])).toMatchObject({ valid: true });
    const wrong = formatNote(text, [signer.sign(text), signer.sign('other\n')]);
    expect(verifyNote(wrong, [signer.verifier])).toEqual({ valid: false, because: 'SIGNATURE_INVALID' });
    const wrongTime = cosigned.replace(
      witness.cosign(text, 1_700_000_000),
      witness.cosign(text, 1_700_000_000, 1_700_000_001),
    );
    expect(verifyNote(wrongTime, [witness.key])).toEqual({ valid: false, because: 'SIGNATURE_INVALID' });
    const short = `${cosigned.trimEnd().slice(0, -24)}\n`;
    expect(verifyNote(short, [witness.key]).valid).toBe(false);
  });

  test('what is not exactly a note is none', () => {
    const line = signer.sign(text);
    for (const malformed of [
      '',
      text,
      `${text}\n`,
      `${text}\n${line}`,
      `\n\n${line}\n`,
      `${text}\n${line}\n\n`,
      `${text}\n${line}\nnot a line\n`,
      `${text}\n${line.replace('\u2014', '-')}\n`,
      `${text}\n${line}=\n`,
      `a\u0000b\n\n${line}\n`,
      `a\rb\n\n${line}\n`,
      formatNote(text, new Array(101).fill(line)),
    ])
      expect(parseNote(malformed)).toBeUndefined();
    expect(parseNote(formatNote(text, new Array(100).fill(line)))!.signatures).toHaveLength(100);
    expect(parseNote(formatNote('a\n\nb\n', [line]))!.text).toBe('a\n\nb\n');
  });

  test('a checkpoint text is read back, and nothing else is read as one', () => {
    fc.assert(
      fc.property(
        fc.stringMatching(/^[a-z./]{1,20}$/),
        fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        (origin, size, root) => {
          const parsed = parseCheckpoint(checkpointText({ origin, size, root }))!;
          expect(parsed).toMatchObject({ origin, size });
          expect(Buffer.from(parsed.root)).toEqual(Buffer.from(root));
        },
      ),
    );
    const root = root8.toString('base64');
    for (const malformed of [
      `o\n8\n${root}`,
      `\n8\n${root}\n`,
      `o\n08\n${root}\n`,
      `o\n-8\n${root}\n`,
      `o\n18446744073709551616\n${root}\n`,
      `o\n8\n${root8.subarray(1).toString('base64')}\n`,
      `o\n8\n${root.slice(0, -2)}J=\n`,
      `o\n8\n${root}\nextension\n`,
    ])
      expect(parseCheckpoint(malformed)).toBeUndefined();
  });
});

describe('keys', () => {
  test('the notation is read back, and nothing else is read as a key', () => {
    const { vkey } = signer.verifier;
    expect(parseVerifierKey(vkey)).toMatchObject({ name: 'example.org/log', id: '98af023b', type: 1 });
    expect(parseWitness(witness.key.vkey)).toMatchObject({ name: 'witness.example/w', type: 4 });
    expect(parseWitness(vkey)).toBeUndefined();
    for (let at = 0; at < vkey.length; at++) {
      const changed = `${vkey.slice(0, at)}${String.fromCharCode(vkey.charCodeAt(at) ^ 1)}${vkey.slice(at + 1)}`;
      expect(parseVerifierKey(changed)).toBeUndefined();
    }
    for (const malformed of ['', 'a+b', ` +98af023b+${vkey.split('+')[2]}`, `${vkey}\n`])
      expect(parseVerifierKey(malformed)).toBeUndefined();
  });

  test('each name beside the log has a key of its own', () => {
    const sessions = createDerivedSigner('example.org/log', 'sessions', seed(0)).verifier;
    const nodes = createDerivedSigner('example.org/log', 'nodes', seed(0)).verifier;
    const keys = [signer.verifier, sessions, nodes].map(({ vkey }) => vkey.split('+')[2]);
    expect(new Set(keys).size).toBe(3);
    expect(sessions.name).toBe('example.org/log/sessions');
  });
});

describe('leaf data', () => {
  test('is laid out as documented', () => {
    const data = leafData({
      kind: 'a.b',
      key: 'k',
      atMs: 0x0102030405,
      payloadHash: new Uint8Array(32).fill(9),
    });
    expect(Buffer.from(data).toString('hex')).toBe(
      `${Buffer.from('homeostat-entry/1').toString('hex')}03${Buffer.from('a.b').toString('hex')}01${Buffer.from('k').toString('hex')}0000000102030405${'09'.repeat(32)}`,
    );
  });

  test('is read back, and no other bytes are read as the same fields', () => {
    const name = fc.string({ minLength: 1, maxLength: 60, unit: 'grapheme' });
    fc.assert(
      fc.property(name, name, fc.maxSafeNat(), fc.nat(), (kind, key, atMs, place) => {
        fc.pre(Buffer.byteLength(kind) <= 255 && Buffer.byteLength(key) <= 255);
        const fields = { kind, key, atMs, payloadHash: new Uint8Array(32).fill(5) };
        const data = leafData(fields);
        expect(parseLeafData(data)).toEqual(fields);
        expect(parseLeafData(data.subarray(1))).toBeUndefined();
        expect(parseLeafData(data.subarray(0, -1))).toBeUndefined();
        const changed = Uint8Array.from(data);
        changed[place % data.length]! ^= 1;
        expect(parseLeafData(changed)).not.toEqual(fields);
      }),
    );
    expect(() => leafData({ kind: '', key: 'k', atMs: 0, payloadHash: new Uint8Array(32) })).toThrow(
      RangeError,
    );
    expect(() =>
      leafData({ kind: 'a', key: 'k'.repeat(256), atMs: 0, payloadHash: new Uint8Array(32) }),
    ).toThrow(RangeError);
  });
});

test('the reasons of ledger are those of its contract', () => {
  const named = ErrorReasonSchema.values.map(({ localName }) => localName);
  expect(Object.keys(ledgerError.table).sort()).toEqual(
    named.filter((name) => name !== 'UNSPECIFIED').sort(),
  );
});
