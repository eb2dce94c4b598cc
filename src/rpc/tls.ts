/**
 * TLS of both edges: certificate, key and the authority of client certificates, read from files and looked at again every
 * few seconds. A changed certificate serves the connections made from then on; one that cannot be used is logged once,
 * and the last good one stays. TLS 1.2 and later.
 */
import { hash, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext, type SecureContextOptions, type TLSSocket, type TlsOptions } from 'node:tls';
import type { Clock, Timer } from '../clock.ts';
import { AppError, describeError } from '../errors.ts';
import type { Logger, Metrics } from '../observability.ts';

/** Whether clients show certificates: never, if they like, or always. */
export type MutualTls = 'off' | 'optional' | 'required';

export interface TlsConfig {
  /** Certificate chain, PEM. */
  readonly certFile: string;
  /** Private key of the first certificate, PEM. */
  readonly keyFile: string;
  /** Authorities of client certificates, PEM; empty for none. */
  readonly clientCaFile: string;
  /** Default off; the others need `clientCaFile`. */
  readonly mtls: MutualTls;
  /** How often the files are looked at, milliseconds; default 5,000. */
  readonly reloadMs: number;
}

export interface TlsDeps {
  readonly config: TlsConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

export interface Tls {
  readonly mtls: MutualTls;
  /** Options of a server that asks for client certificates as `mtls` says. */
  serverOptions(mtls: MutualTls): TlsOptions;
  /** Gives a server the certificates that come after those of `serverOptions`. */
  follow(server: { setSecureContext(options: SecureContextOptions): void }): void;
  stop(): void;
}

const MIN_VERSION = 'TLSv1.2';

/** A set of files that can be used. */
interface Loaded {
  readonly options: SecureContextOptions;
  readonly expiresMs: number;
}

/** Reads the files and begins to watch them. Throws AppError TLS_UNUSABLE with one sentence. */
export async function openTls({ config, clock, logger, metrics }: TlsDeps): Promise<Tls> {
  const followers: { setSecureContext(options: SecureContextOptions): void }[] = [];
  let seen: string;
  let loaded: Loaded;
  try {
    const files = await readFiles(config);
    seen = files.digest;
    loaded = use(config, files, clock.nowMs());
  } catch (error) {
    throw unusable(config, error);
  }
  let looking = false;
  let complaint = '';

  const look = async () => {
    try {
      const files = await readFiles(config);
      if (files.digest === seen) return;
      seen = files.digest; // Good or bad, it is looked at once.
      loaded = use(config, files, clock.nowMs());
      for (const server of followers) server.setSecureContext(loaded.options);
      complaint = '';
      logger.info({ file: config.certFile }, 'certificate taken');
    } catch (error) {
      const cause = describeError(error);
      if (cause !== complaint)
        logger.error({ file: config.certFile, cause }, 'certificate not taken, the last good one stays');
      complaint = cause;
    }
  };
  const timer: Timer = clock.every(config.reloadMs, () => {
    if (looking) return;
    looking = true;
    void look().finally(() => {
      looking = false;
    });
  });
  metrics.gauge(
    'homeostat_tls_certificate_expiry_seconds',
    'Seconds until the certificate in use expires; negative once it has.',
    [],
    () => [{ value: (loaded.expiresMs - clock.nowMs()) / 1000 }],
  );
  return {
    mtls: config.mtls,
    serverOptions: (mtls) => ({
      ...loaded.options,
      requestCert: mtls !== 'off',
      rejectUnauthorized: mtls === 'required',
    }),
    follow: (server) => void followers.push(server),
    stop: () => timer.cancel(),
  };
}

/** Whether a client may go on after its handshake: it has shown no certificate, or one that the authority signed. */
export function isTrusted(socket: TLSSocket): boolean {
  return socket.authorized || socket.getPeerX509Certificate() === undefined;
}

interface Files {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly ca: Buffer | undefined;
  readonly digest: string;
}

async function readFiles({ certFile, keyFile, clientCaFile }: TlsConfig): Promise<Files> {
  const [cert, key, ca] = await Promise.all([
    readFile(certFile),
    readFile(keyFile),
    clientCaFile === '' ? undefined : readFile(clientCaFile),
  ]);
  const digests = [cert, key, ca ?? Buffer.alloc(0)].map((bytes) => hash('sha256', bytes));
  return { cert, key, ca, digest: digests.join(' ') };
}

/** Throws an Error for files that do not belong together, are no certificates, or whose certificate has expired. */
function use({ mtls }: TlsConfig, { cert, key, ca }: Files, nowMs: number): Loaded {
  // Without an authority of one's own, Node would take those of the public.
  if (mtls !== 'off' && !ca) throw new Error('client certificates need an authority to verify them by');
  const options: SecureContextOptions = { cert, key, minVersion: MIN_VERSION, ...(ca && { ca }) };
  createSecureContext(options);
  if (ca) new X509Certificate(ca);
  const expiresMs = Date.parse(new X509Certificate(cert).validTo);
  if (expiresMs <= nowMs) throw new Error('the certificate has expired');
  return { options, expiresMs };
}

function unusable({ certFile }: TlsConfig, error: unknown): AppError {
  const message = `TLS cannot use ${certFile}: ${describeError(error)}; change HOMEOSTAT_TLS_CERT_FILE, HOMEOSTAT_TLS_KEY_FILE or HOMEOSTAT_TLS_CLIENT_CA_FILE`;
  return new AppError(
    { domain: 'homeostat.edge', reason: 'TLS_UNUSABLE', kind: 'FAILED_PRECONDITION', message },
    { file: certFile },
    { cause: error },
  );
}
