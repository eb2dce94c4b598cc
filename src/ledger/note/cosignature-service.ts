/**
 * Takes in what witnesses have signed: a checkpoint as it was published, with their lines under it. Either every line of
 * a known witness holds and is stored, or nothing is. A witness has one line under a checkpoint, the first that came.
 */
import type { Call } from '../../rpc/handler.ts';
import type { Store } from '../../store/store.ts';
import { ledgerError } from '../errors.ts';
import { parseCheckpoint } from './checkpoint.ts';
import type { CosignatureRow, NoteTables } from './checkpoint-store.ts';
import type { Checkpoints } from './checkpoints.ts';
import type { VerifierKey } from './key.ts';
import { isBy, type Note, type NoteSignature, parseNote, signatureHolds } from './note.ts';

export interface CosignatureDeps {
  readonly store: Pick<Store, 'transactInTurn'>;
  readonly checkpoints: Checkpoints;
  readonly log: VerifierKey;
  readonly witnesses: readonly VerifierKey[];
}

/**
 * Stores the cosignatures of a note and resolves with how many were new, audited. Throws COSIGNATURE_INVALID and
 * WITNESS_NOT_FOUND.
 */
export async function importCosignatures(
  deps: CosignatureDeps,
  text: string,
  call: Pick<Call, 'audit'>,
): Promise<number> {
  const note = parseNote(text);
  if (note === undefined) throw invalid('the text is not a signed note');
  const size = await publishedSize(deps, note);
  const rows = cosignaturesOf(deps, note, size);
  return deps.store.transactInTurn(async (tx) => {
    let stored = 0;
    for (const row of rows) {
      const inserted = await tx
        .query<NoteTables>()
        .insertInto('ledger_cosignature')
        .values(row)
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirstOrThrow();
      stored += Number(inserted.numInsertedOrUpdatedRows);
    }
    await call.audit(tx, `checkpoint/${size}`);
    return stored;
  });
}

/** The size of the checkpoint that the note is, word for word. */
async function publishedSize({ checkpoints, log }: CosignatureDeps, note: Note): Promise<number> {
  const body = parseCheckpoint(note.text);
  if (body?.origin !== log.name) throw invalid(`the note is not a checkpoint of ${log.name}`);
  const size = Number(body.size);
  const published = Number.isSafeInteger(size) ? await checkpoints.at(size) : undefined;
  if (published === undefined) throw invalid(`no checkpoint of size ${body.size} was published`);
  if (parseNote(published.note)?.text !== note.text)
    throw invalid(`the note is not the checkpoint of size ${size} that was published`);
  return size;
}

function cosignaturesOf({ log, witnesses }: CosignatureDeps, note: Note, size: number): CosignatureRow[] {
  const known = (signature: NoteSignature) => [log, ...witnesses].find((key) => isBy(signature, key));
  const rows: CosignatureRow[] = [];
  for (const signature of note.signatures) {
    const key = known(signature);
    if (key === undefined) continue;
    if (!signatureHolds(note.text, signature, key))
      throw invalid(`the signature of ${key.name} does not hold`);
    if (key !== log) rows.push({ tree_size: size, vkey: key.vkey, line: signature.line });
  }
  if (rows.length > 0) return rows;
  const strangers = note.signatures.filter((signature) => known(signature) !== log);
  throw ledgerError('WITNESS_NOT_FOUND', { names: strangers.map(({ name }) => name).join(',') });
}

function invalid(detail: string) {
  return ledgerError('COSIGNATURE_INVALID', { detail });
}
