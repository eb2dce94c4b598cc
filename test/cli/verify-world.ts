/**
 * What `verify` is given, made by a real ledger and a real audit trail on one store: an export, proofs, checkpoints and
 * keys, as JSON as `buf curl` prints it.
 */
import { create, type DescMessage, type MessageInitShape, toJson } from '@bufbuild/protobuf';
import { runCommandLine } from '../../src/cli/command-line.ts';
import { ExportAuditResponseSchema } from '../../src/gen/homeostat/identity/v1/audit_service_pb.ts';
import {
  GetCheckpointResponseSchema,
  GetConsistencyProofResponseSchema,
  GetInclusionProofResponseSchema,
  GetLogKeysResponseSchema,
} from '../../src/gen/homeostat/ledger/v1/ledger_service_pb.ts';
import { auditMigrations } from '../../src/identity/audit/audit-store.ts';
import { ledgerMigrations } from '../../src/ledger/context.ts';
import { createAuditWorld } from '../identity/audit/audit-world.ts';
import { createLedgerWorld } from '../ledger/ledger-world.ts';
import { createWitness } from '../ledger/witness.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { openTestStore } from '../support/stores.ts';

export interface Bundles {
  /** Messages of an export, one a line: 4 entries and their anchor. */
  readonly audit: string;
  /** A proof of the entry `external.test x`, whose payload is `payload 1`. */
  readonly entry: string;
  readonly payload: string;
  readonly consistency: string;
  readonly checkpoint: string;
  /** The note of the same checkpoint. */
  readonly note: string;
  /** The same checkpoint, cosigned by the witness. */
  readonly cosigned: string;
  /** Reply of GetLogKeys, witness included. */
  readonly keys: string;
  /** Notation of the log's key, and of the witness's. */
  readonly logKey: string;
  readonly witnessKey: string;
}

const witness = createWitness('witness.example', new Uint8Array(32).fill(3));

export async function makeBundles(): Promise<Bundles> {
  const opened = await openTestStore([...ledgerMigrations, ...auditMigrations]);
  const { store } = opened;
  const clock = createFakeClock();
  const ledger = createLedgerWorld({ store, clock, config: { witnesses: [witness.key.vkey] } });
  await ledger.context.start();
  const port = ledger.context.ledger;
  const trail = createAuditWorld({
    store,
    clock,
    port: {
      append: (tx, kind, key, payload) => port.append(tx, `identity.${kind}`, key, payload),
      prove: async (index) => (index < port.latest().size ? port.prove(index) : undefined),
    },
  });
  try {
    const payload = 'payload 1';
    await ledger.append('external.test', 'w', 'payload 0');
    const { index } = await ledger.append('external.test', 'x', payload);
    await ledger.append('external.test', 'y', 'payload 2');
    await ledger.round();
    const firstSize = BigInt(port.latest().size);
    for (let i = 0; i < 3; i++) await trail.add({ requestId: `r${i}`, resource: 'session/é "1"' });
    const exporting = trail.export();
    for (let i = 0; i < 20; i++) await clock.advance(200);
    const items = await exporting;
    const json = <Schema extends DescMessage>(schema: Schema, message: MessageInitShape<Schema>) =>
      JSON.stringify(toJson(schema, create(schema, message)));
    const checkpoint = await ledger.rpc.getCheckpoint();
    const entry = json(
      GetInclusionProofResponseSchema,
      await ledger.rpc.getInclusionProof({ index: BigInt(index) }),
    );
    const consistency = json(
      GetConsistencyProofResponseSchema,
      await ledger.rpc.getConsistencyProof({ firstSize }),
    );
    const text = checkpoint.note.slice(0, checkpoint.note.lastIndexOf('\n\n') + 1);
    await ledger.rpc.importCosignature(`${checkpoint.note}${witness.cosign(text, 1_767_225_700)}\n`);
    const keys = await ledger.rpc.getLogKeys({} as never, ledger.call);
    return {
      audit: items.map((item) => `${json(ExportAuditResponseSchema, item)}\n`).join(''),
      entry,
      payload,
      consistency,
      checkpoint: json(GetCheckpointResponseSchema, { checkpoint }),
      note: checkpoint.note,
      cosigned: (await ledger.rpc.getCheckpoint()).note,
      keys: json(GetLogKeysResponseSchema, keys),
      logKey: keys.logKeys![0]!.vkey!,
      witnessKey: witness.key.vkey,
    };
  } finally {
    await trail.audit.stop();
    await ledger.context.stop();
    await opened.dispose();
  }
}

/** Runs a command line; what it wrote and how it ended. */
export async function runCommand(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const code = await runCommandLine(args, {
    clock: createFakeClock(),
    out: { write: (text) => (out += text) },
    err: { write: (text) => (err += text) },
    signal: new AbortController().signal,
  });
  return { code, out, err };
}
