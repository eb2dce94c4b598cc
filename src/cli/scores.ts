/**
 * Writes how unusual every node was in every window, as CSV: `window_end,node,energy,surprise,score,top_metrics`. The
 * explanations come window by window from the server, several asked for at once, and are written in order of time.
 */
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { finished } from 'node:stream/promises';
import { timestampDate, timestampFromMs } from '@bufbuild/protobuf/wkt';
import { type Clients, RpcError } from '../client/client.ts';
import type { ExplainMapResponse } from '../gen/homeostat/energy/v1/energy_service_pb.ts';
import { CliFailure } from './failure.ts';
import type { StreamName } from './stream-account.ts';

/** Explanations asked for at a time. */
const CONCURRENCY = 32;
const TOP_METRICS = 10;
const HEADER = 'window_end,node,energy,surprise,score,top_metrics\n';

/** Rows of one window, its nodes in order of their names. */
export function scoreRows(explained: ExplainMapResponse): string {
  const windowEnd = explained.end ? timestampDate(explained.end).toISOString() : '';
  return [...explained.nodes]
    .sort((a, b) => (a.node < b.node ? -1 : 1))
    .map(({ node, energy, surprise, score, metrics }) => {
      const top = quote(metrics.map((metric) => metric.name).join(';'));
      return `${windowEnd},${node},${energy},${surprise},${score},${top}\n`;
    })
    .join('');
}

/** Writes the scores of the windows that start at the given times; `onWritten` is told how many are done. */
export async function writeScores(options: {
  readonly path: string;
  readonly clients: Clients;
  readonly stream: StreamName;
  readonly startsMs: readonly number[];
  readonly onWritten: (count: number) => void;
}): Promise<void> {
  const { clients, stream, startsMs } = options;
  const file = createWriteStream(options.path);
  const closed = finished(file);
  closed.catch(() => {}); // Awaited below.
  file.write(HEADER);
  const asked: Promise<ExplainMapResponse>[] = [];
  try {
    for (let i = 0; i < startsMs.length; i++) {
      while (asked.length < CONCURRENCY && i + asked.length < startsMs.length) {
        const at = timestampFromMs(startsMs[i + asked.length]!);
        const explained = clients.energy.explainMap({ stream, at, top: TOP_METRICS });
        explained.catch(() => {}); // Awaited in its turn.
        asked.push(explained);
      }
      const rows = scoreRows(await asked.shift()!);
      if (!file.write(rows)) await Promise.race([once(file, 'drain'), closed]);
      options.onWritten(i + 1);
    }
  } catch (error) {
    file.destroy();
    if (error instanceof RpcError && error.reason === 'NOT_STATISTICAL')
      throw new CliFailure(
        1,
        'there are no scores: the stream has energy metrics, so its maps are physical',
        error,
      );
    throw error;
  }
  file.end();
  await closed;
}

/** A CSV field; quoted where it must be. */
function quote(field: string): string {
  return /[",\n\r]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field;
}
