/**
 * Looks at everything that is stored, in the order of the log: each entry against its leaf, each full tile against the
 * entries, each checkpoint against the tree and its signature, each cosignature, the frontier and the key. It finds every
 * changed byte and names the entries it is about. A hash over entries that are damaged themselves is explained by them
 * and not named again. It reads committed rows a page at a time, beside appends; entries that come later are left out.
 */
import { HASH_BYTES, sameHash } from '../numeric/merkle.ts';
import { type Finding, hull } from './damage.ts';
import {
  type CheckpointRow,
  findCheckpoint,
  listCheckpointsAfter,
  listCosignaturesAfter,
} from './note/checkpoint-store.ts';
import { type Checkpoint, checkpointDamage, cosignatureHolds, readCheckpoint } from './note/checkpoints.ts';
import type { VerifierKey } from './note/key.ts';
import { FRONTIER_BROKEN, type Frontier, findFrontier, findTile, listEntries, type Reader } from './store.ts';
import { Edge, type TilePlace, tileDamage } from './tree/edge.ts';
import { type Entry, entryFault } from './tree/entry.ts';
import type { Tile } from './tree/tile.ts';

export interface ScrubDeps {
  readonly reader: Reader;
  /** The log's own key. */
  readonly log: VerifierKey;
  /** Whether SQL still holds the key that this server signs with. */
  readonly holdsKey: () => Promise<boolean>;
}

/** Rows read at once; the event loop turns between two pages. */
const PAGE = 256;
/** Findings told apart; the last takes in what is found beyond. */
const FINDINGS_MAX = 64;

/**
 * Every range of damage, in the order it was met; empty for a whole log. Rejects when the signal aborts. Cost: four hashes
 * per entry, one Ed25519 verification per checkpoint and cosignature.
 */
export async function scrub(deps: ScrubDeps, signal: AbortSignal): Promise<readonly Finding[]> {
  const { reader } = deps;
  const findings = new Findings();
  const frontier = await findFrontier(reader);
  const end = frontier?.size ?? 0;
  if (!(await deps.holdsKey()))
    findings.add({ start: 0, end, detail: 'the key of the log is not the one it signs with' });
  const edge = new Edge();
  const published = createCheckpointCursor(deps, findings);
  await published.check(edge);
  while (edge.size < end) {
    signal.throwIfAborted();
    const limit = Math.min(PAGE, end - edge.size);
    const entries = await listEntries(reader, { start: edge.size, kind: '', limit });
    if (!(entries[0] && entries[0].index < edge.size + limit)) {
      findings.addEntry({ start: edge.size, end, detail: 'entries are missing' });
      break;
    }
    const sealed: [TilePlace, Tile][] = [];
    for (const entry of inPlace(entries, edge.size, edge.size + limit)) {
      edge.append(leafOf(entry, findings), (level, index, tile) => sealed.push([{ level, index }, tile]));
      await published.check(edge);
    }
    for (const [place, tile] of sealed) await checkTile(reader, findings, place, tile);
    await turn();
  }
  checkFrontier(frontier, edge, findings);
  await published.checkRest();
  await checkCosignatures(deps, findings, signal);
  return findings.list;
}

/** The entries at their indices from `start` up to `end`; the index alone where there is none. */
function* inPlace(entries: readonly Entry[], start: number, end: number): Generator<Entry | number> {
  const byIndex = new Map(entries.map((entry) => [entry.index, entry]));
  for (let index = start; index < end; index++) yield byIndex.get(index) ?? index;
}

/** The leaf hash to go on with, right or wrong; what is wrong is found. */
function leafOf(entry: Entry | number, findings: Findings): Uint8Array {
  const index = typeof entry === 'number' ? entry : entry.index;
  const fault = typeof entry === 'number' ? 'an entry is missing' : entryFault(entry);
  if (fault !== undefined) findings.addEntry({ start: index, end: index + 1, detail: fault });
  return typeof entry !== 'number' && entry.leafHash.length === HASH_BYTES
    ? entry.leafHash
    : new Uint8Array(HASH_BYTES);
}

/** Compares a tile made from entries with the stored one. */
async function checkTile(reader: Reader, findings: Findings, place: TilePlace, tile: Tile): Promise<void> {
  const row = await findTile(reader, place);
  const isSame = row && sameHash(row.hashes, tile.bytes) && sameHash(row.root, tile.root());
  if (!isSame) findings.addHash(tileDamage(place));
}

function checkFrontier(frontier: Frontier | undefined, edge: Edge, findings: Findings): void {
  if (frontier === undefined) return;
  const { size, range } = frontier;
  if (range === undefined) findings.add({ start: 0, end: size, detail: FRONTIER_BROKEN });
  else if (!sameHash(range.root(), edge.root()))
    findings.addHash({ start: 0, end: size, detail: 'the entries do not lead to the frontier' });
}

/** Walks through the published checkpoints beside the tree that grows. */
function createCheckpointCursor({ reader, log }: ScrubDeps, findings: Findings) {
  let rows: CheckpointRow[] = [];
  let last = -1;
  let over = false;
  const next = async (): Promise<CheckpointRow | undefined> => {
    if (rows.length === 0 && !over) {
      rows = await listCheckpointsAfter(reader, last, PAGE);
      over = rows.length < PAGE;
      last = rows.at(-1)?.tree_size ?? last;
    }
    return rows[0];
  };
  const believe = (row: CheckpointRow): Checkpoint | undefined => {
    const checkpoint = readCheckpoint(row, log);
    if (checkpoint === undefined) findings.add(checkpointDamage(row.tree_size));
    return checkpoint;
  };
  return {
    /** Checks those of the sizes up to the tree's. */
    async check(edge: Edge): Promise<void> {
      for (let row = await next(); row && row.tree_size <= edge.size; row = await next()) {
        rows.shift();
        const checkpoint = believe(row);
        if (checkpoint && (checkpoint.size !== edge.size || !sameHash(checkpoint.root, edge.root())))
          findings.addHash({
            start: 0,
            end: checkpoint.size,
            detail: 'the entries do not lead to a checkpoint',
          });
      }
    },
    /** Checks those beyond the tree: there are none unless the log has grown meanwhile. */
    async checkRest(): Promise<void> {
      for (let row = await next(); row; row = await next()) {
        rows.shift();
        const checkpoint = believe(row);
        const size = (await findFrontier(reader))?.size ?? 0;
        if (checkpoint && checkpoint.size > size)
          findings.add({ start: size, end: checkpoint.size, detail: 'the log is shorter than a checkpoint' });
      }
    },
  };
}

async function checkCosignatures({ reader }: ScrubDeps, findings: Findings, signal: AbortSignal) {
  let after = { tree_size: -1, vkey: '' };
  for (;;) {
    signal.throwIfAborted();
    const rows = await listCosignaturesAfter(reader, after, PAGE);
    for (const row of rows) {
      const checkpoint = await findCheckpoint(reader, row.tree_size);
      if (checkpoint && cosignatureHolds(checkpoint.note, row)) continue;
      findings.add({ start: 0, end: Math.max(0, row.tree_size), detail: 'a cosignature does not hold' });
    }
    const last = rows.at(-1);
    if (last === undefined) return;
    after = last;
    await turn();
  }
}

/** Findings in the order they were met; neighbors of one kind are one. */
class Findings {
  readonly list: Finding[] = [];
  readonly #entries: Finding[] = [];

  add(finding: Finding): void {
    const last = this.list.at(-1);
    const isSame = last && last.detail === finding.detail && last.end >= finding.start;
    if (isSame || this.list.length === FINDINGS_MAX) this.list.splice(-1, 1, hull([last!, finding])!);
    else this.list.push(finding);
  }

  /** An entry that is damaged itself. */
  addEntry(finding: Finding): void {
    this.#entries.push(finding);
    this.add(finding);
  }

  /** A hash over entries that does not agree, unless one of them is damaged. */
  addHash(finding: Finding): void {
    const explains = ({ start, end }: Finding) => start < finding.end && end > finding.start;
    if (!this.#entries.some(explains)) this.add(finding);
  }
}

/** Lets the event loop turn. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
