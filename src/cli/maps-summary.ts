/** What became of a stream's maps: how many there are, which nodes they show, and what they hold. */
import { createHash } from 'node:crypto';
import { timestampMs } from '@bufbuild/protobuf/wkt';
import type { Clients } from '../client/client.ts';
import { RpcError } from '../client/client.ts';
import type { EnergyMap } from '../gen/homeostat/energy/v1/energy_service_pb.ts';
import type { StreamName } from './stream-account.ts';

/** Maps per page: a page of maps of 10,000 nodes stays under the limit of a reply. */
const PAGE_SIZE = 100;

export interface MapsSummary {
  readonly count: number;
  /** Nodes with a cell in any map, and those among them that were ever observed. */
  readonly nodesMapped: number;
  readonly nodesObserved: number;
  /** SHA-256 over the digests of all maps, oldest first, hexadecimal. */
  readonly sha256: string;
  /** Start of each window that has an observed node, ascending, milliseconds. */
  readonly observedStartsMs: readonly number[];
}

/** Reads all maps of a stream, newest first as the server lists them. */
export async function summarizeMaps(clients: Clients, stream: StreamName): Promise<MapsSummary> {
  const mapped = new Set<string>();
  const observed = new Set<string>();
  const digests: Uint8Array[] = [];
  const observedStartsMs: number[] = [];
  for await (const map of allMaps(clients, stream)) {
    digests.push(map.digest);
    let any = false;
    map.nodes.forEach((node, cell) => {
      if (node === '') return;
      mapped.add(node);
      if (!isObserved(map, cell)) return;
      observed.add(node);
      any = true;
    });
    if (any && map.start) observedStartsMs.push(timestampMs(map.start));
  }
  const hash = createHash('sha256');
  for (const digest of digests.reverse()) hash.update(digest);
  return {
    count: digests.length,
    nodesMapped: mapped.size,
    nodesObserved: observed.size,
    sha256: hash.digest('hex'),
    observedStartsMs: observedStartsMs.reverse(),
  };
}

/** Whether a cell was observed: one bit a cell, least significant first. */
export function isObserved(map: EnergyMap, cell: number): boolean {
  return ((map.observed[cell >> 3] ?? 0) & (1 << (cell & 7))) !== 0;
}

async function* allMaps(clients: Clients, stream: StreamName): AsyncGenerator<EnergyMap, void, undefined> {
  let pageToken = '';
  do {
    const page = await clients.energy
      .listMaps({ stream, page: { pageSize: PAGE_SIZE, pageToken } })
      .catch((error: unknown) => {
        if (error instanceof RpcError && error.reason === 'STREAM_NOT_FOUND') return undefined;
        throw error;
      });
    yield* page?.maps ?? [];
    pageToken = page?.nextPageToken ?? '';
  } while (pageToken !== '');
}
