/** The secret file: made once, private, and never guessed. */
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { readSecret } from '../src/secret-file.ts';
import { systemSecrets } from '../src/secrets.ts';

let dataDir: string;

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'homeostat-secret-'));
});
afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

const read = (path = '', mayCreate = true) =>
  readSecret({ path, dataDir, mayCreate, secrets: systemSecrets });
const refused = (message: RegExp) =>
  expect.objectContaining({ reason: 'SECRET_FILE', message: expect.stringMatching(message) });

test('it is made on first start, with 32 bytes and mode 0600, and read from then on', () => {
  const made = read();
  expect(made).toHaveLength(32);
  expect(read()).toEqual(made);
  expect(statSync(join(dataDir, 'secret.key')).mode & 0o777).toBe(0o600);
  expect(readdirSync(dataDir)).toEqual(['secret.key']);
});

test('it is not made where several servers share a database, nor where the operator names one', () => {
  expect(() => read('', false)).toThrow(refused(/HOMEOSTAT_SECRET_FILE/));
  expect(() => read(join(dataDir, 'mine'))).toThrow(refused(/does not exist/));
  expect(readdirSync(dataDir)).toEqual([]);
});

test('a file the operator names is used, if it is whole and private', () => {
  const path = join(dataDir, 'mine');
  writeFileSync(path, Buffer.alloc(32, 5), { mode: 0o640 });
  expect(read(path)).toEqual(new Uint8Array(32).fill(5));
  chmodSync(path, 0o644);
  expect(() => read(path)).toThrow(refused(/read by everybody/));
  writeFileSync(path, 'too short');
  expect(() => read(path)).toThrow(refused(/9 bytes, not 32/));
});

test('an existing file is never overwritten', () => {
  writeFileSync(join(dataDir, 'secret.key'), Buffer.alloc(31), { mode: 0o600 });
  expect(() => read()).toThrow(refused(/31 bytes, not 32/));
  expect(readFileSync(join(dataDir, 'secret.key'))).toHaveLength(31);
});
