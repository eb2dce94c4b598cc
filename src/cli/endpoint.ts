/**
 * Where a running server is and how to be let in: read from its data directory, where the server writes it. Asked
 * anew at each connection, so a restart in between is followed.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connectProducer, type Producer } from '../bus/producer.ts';
import { type ChannelOptions, type Clients, createClients } from '../client/client.ts';
import { readServerRecord } from '../data-dir.ts';
import { unusable } from './failure.ts';
import { configured, outsideBroker } from './launch.ts';

/** A command has time: it comes back whenever an overloaded server says so. */
const PATIENT = { attempts: 6, waitMsMax: 30_000 } as const;

export interface Endpoint {
  /** `host:port` of gRPC now. Throws a CliFailure when no server listens there. */
  grpcAddress(): string;
  /** Clients with the admin's key; the caller closes the link. */
  connect(): ServerLink;
  /** A telemetry producer; the caller closes it. */
  produce(): Promise<Producer>;
}

/** Clients of a server that may come back at another address. */
export interface ServerLink {
  /** Of where the server was last found. */
  readonly clients: Clients;
  /** Looks where the server is now; to be called when it does not answer. */
  refresh(): void;
  close(): void;
}

/**
 * The server that runs on a data directory. Its producers connect to the broker it manages, or to the one that this
 * environment names; an isolated server always manages its own.
 */
export function endpointOf(dataDir: string, broker: 'managed' | 'environment'): Endpoint {
  const read = (name: string): string => {
    try {
      return readFileSync(join(dataDir, name), 'utf8').trim();
    } catch (error) {
      throw unusable(`${join(dataDir, name)} cannot be read: does a server run on ${dataDir}?`, error);
    }
  };
  const grpcAddress = () => {
    const address = readServerRecord(dataDir)?.grpcAddress;
    if (!address) throw unusable(`no server runs on ${dataDir}`);
    return address;
  };
  const connect = (): ServerLink => {
    let address = grpcAddress();
    const options = {
      token: read('admin.key'),
      retry: PATIENT,
      ...(broker === 'environment' && securely()),
    };
    let clients = createClients({ ...options, address });
    return {
      get clients() {
        return clients;
      },
      refresh() {
        const now = readServerRecord(dataDir)?.grpcAddress;
        if (!now || now === address) return; // Not back yet, or never away.
        clients.close();
        address = now;
        clients = createClients({ ...options, address });
      },
      close: () => clients.close(),
    };
  };
  return {
    grpcAddress,
    connect,
    produce() {
      const outside = broker === 'environment' ? outsideBroker() : undefined;
      if (!outside) return connectProducer({ url: () => read('producer.url') });
      const { url, credsFile, caFile } = outside;
      return connectProducer({ url, ...(credsFile && { credsFile }), ...(caFile && { caFile }) });
    },
  };
}

/** How to speak to a server with TLS: its own certificate file vouches for it. */
function securely(): Pick<ChannelOptions, 'tls'> | undefined {
  const { TLS_CERT_FILE: certFile } = configured();
  return certFile === '' ? undefined : { tls: { caFile: certFile } };
}
