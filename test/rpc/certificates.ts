/** Certificate authorities and certificates for tests, made by the openssl program. */
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Why there can be no certificates here; undefined where there can. */
export function opensslMissing(): string | undefined {
  return spawnSync('openssl', ['version'], { stdio: 'ignore' }).status === 0
    ? undefined
    : 'the openssl program is not installed (package openssl)';
}

/** Paths of PEM files. */
export interface KeyPair {
  readonly certFile: string;
  readonly keyFile: string;
}

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** Makes an authority in a folder. */
export function makeAuthority(folder: string, name: string): KeyPair {
  const pair = { certFile: join(folder, `${name}.pem`), keyFile: join(folder, `${name}.key`) };
  openssl(
    'req',
    '-x509',
    ...KEY,
    '-keyout',
    pair.keyFile,
    '-out',
    pair.certFile,
    '-days',
    '30',
    '-subj',
    `/CN=${name}`,
  );
  return pair;
}

/** Makes a certificate that an authority signed. `names` are subject alternative names, `URI:spiffe://a/b`. */
export function makeCertificate(
  folder: string,
  authority: KeyPair,
  name: string,
  { names = 'IP:127.0.0.1', days = 30 } = {},
): KeyPair {
  const pair = { certFile: join(folder, `${name}.pem`), keyFile: join(folder, `${name}.key`) };
  const request = join(folder, `${name}.csr`);
  const extensions = join(folder, `${name}.ext`);
  writeFileSync(extensions, `subjectAltName=${names}\n`);
  openssl('req', '-new', ...KEY, '-keyout', pair.keyFile, '-out', request, '-subj', `/CN=${name}`);
  const signer = ['-CA', authority.certFile, '-CAkey', authority.keyFile, '-CAcreateserial'];
  const output = ['-out', pair.certFile, '-days', String(days), '-extfile', extensions];
  openssl('x509', '-req', '-in', request, ...signer, ...output);
  return pair;
}
