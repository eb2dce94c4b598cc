/**
 * The configuration of the managed nats-server, as a pure function of its settings.
 *
 * Two accounts, not two users of one: a producer names the reply subject of what it publishes, and JetStream writes
 * its acknowledgement there. Inside one account that lets a producer put a message on an event subject, or purge a
 * stream through `$JS.API`. Across accounts the reply leads back to the producer's own account only.
 */

import { isAtLeast, type Version } from './find-nats.ts';
import { TELEMETRY_FILTER } from './topics.ts';

/** All that a producer may publish: telemetry of one node, and signals. */
export const PRODUCER_SUBJECTS = [TELEMETRY_FILTER, 'homeostat.autonomic.v1.signal.>'] as const;

/** All that a producer may read: answers to its own requests. */
export const PRODUCER_INBOX = '_INBOX.>';

/** First version that can sync every write before acknowledging it. */
export const SYNC_ALWAYS_SINCE: Version = [2, 10, 0];

export interface BrokerSettings {
  readonly name: string;
  readonly port: number;
  readonly version: Version;
  /** Where JetStream keeps its files. */
  readonly storeDir: string;
  readonly logFile: string;
  readonly serverSecret: string;
  readonly producerSecret: string;
  /** Bytes JetStream may use on disk; at least the sum of the streams' limits. */
  readonly fileBytesMax: number;
}

/** Text of the configuration file. It holds both secrets. */
export function brokerConfig(settings: BrokerSettings): string {
  const exported = PRODUCER_SUBJECTS.map(
    (subject) => `{ service: ${quote(subject)}, accounts: [PRODUCERS] }`,
  );
  const imported = PRODUCER_SUBJECTS.map(
    (subject) => `{ service: { account: SERVER, subject: ${quote(subject)} } }`,
  );
  const sync = isAtLeast(settings.version, SYNC_ALWAYS_SINCE) ? '  sync_interval: always\n' : '';
  return `server_name: ${quote(settings.name)}
listen: ${quote(`127.0.0.1:${settings.port}`)}
max_payload: 1MB
log_file: ${quote(settings.logFile)}
logfile_size_limit: 16MB
jetstream {
  store_dir: ${quote(settings.storeDir)}
  max_memory_store: 64MB
  max_file_store: ${settings.fileBytesMax}
${sync}}
accounts {
  SERVER {
    jetstream: enabled
    users: [{ user: server, password: ${quote(settings.serverSecret)} }]
    exports: [
      ${exported.join('\n      ')}
    ]
  }
  PRODUCERS {
    users: [{
      user: producer, password: ${quote(settings.producerSecret)}
      permissions {
        publish { allow: [${PRODUCER_SUBJECTS.map(quote).join(', ')}] }
        subscribe { allow: [${quote(PRODUCER_INBOX)}] }
      }
    }]
    imports: [
      ${imported.join('\n      ')}
    ]
  }
}
`;
}

/** JSON strings are valid in the server's configuration language. */
function quote(text: string): string {
  return JSON.stringify(text);
}
