/** One replay from the first batch to the report: feed, wait until the server has followed, ask what became of it. */
import type { Producer } from '../bus/producer.ts';
import type { Clock } from '../clock.ts';
import { type BatchOptions, createBatchEncoder } from './batches.ts';
import type { ServerLink } from './endpoint.ts';
import { CliFailure, unusable } from './failure.ts';
import { summarizeMaps } from './maps-summary.ts';
import type { Progress } from './progress.ts';
import type { Recording } from './recording.ts';
import { feedRecording } from './replay-feed.ts';
import { levelChanges, type ReplayReport, withDigest } from './report.ts';
import { writeScores } from './scores.ts';
import { untilFolded, untilLookedAt, untilMapped } from './settling.ts';
import { accountOf, difference, ingestReport, nextEpoch } from './stream-account.ts';

export interface ReplayRun {
  readonly recording: Recording;
  readonly batches: Omit<BatchOptions, 'epoch'>;
  readonly rate: number;
  readonly producer: Producer;
  readonly link: ServerLink;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly progress: Progress;
  /** Share of the file read, 0..1. */
  readonly progressOf: () => number;
  /** Where the scores go; undefined for none. */
  readonly scores: string | undefined;
}

/** Runs a replay. Throws a CliFailure when it was interrupted, when there is no sample, or when the server is stuck. */
export async function feedAndReport(run: ReplayRun): Promise<ReplayReport> {
  const { recording, batches, link, clock, signal, progress } = run;
  const stream = { domain: batches.domain, cluster: batches.cluster };
  const settling = { link, stream, clock, signal };
  const before = await ingestReport(link.clients, stream);
  const epoch = await nextEpoch(link.clients, stream, batches.sourceId, clock.nowMs());

  const fed = await feedRecording({
    ...run,
    encoder: createBatchEncoder({ ...batches, epoch }),
    onInstant: ({ samples, newestMs }) =>
      progress.show(() => {
        const percent = (100 * run.progressOf()).toFixed(0).padStart(3);
        return `${percent} %  ${samples} samples  event time ${new Date(newestMs).toISOString()}`;
      }),
  });
  if (signal.aborted)
    throw new CliFailure(1, 'interrupted before the recording was over; the stream was not ended');
  if (fed.messages === 0) throw unusable('the file has no sample that can be read');

  progress.show(() => 'waiting for the server to follow');
  const after = await untilFolded(settling, fed.lastSequence);
  await untilMapped(settling, fed.newestMs);
  await untilLookedAt(settling);
  const { clients } = link;

  const { observedStartsMs, ...maps } = await summarizeMaps(clients, stream);
  if (run.scores !== undefined) {
    await writeScores({
      path: run.scores,
      clients,
      stream,
      startsMs: observedStartsMs,
      onWritten: (count) => progress.show(() => `scores ${count} of ${observedStartsMs.length} windows`),
    });
  }
  return withDigest({
    stream,
    telemetry: difference(accountOf(after.samples), accountOf(before?.samples)),
    messages: difference(accountOf(after.messages), accountOf(before?.messages)),
    gaps: {
      open: Number(after.gaps?.open ?? 0n),
      missing: Number(after.gaps?.missing ?? 0n),
      closed: Number(after.gaps?.closed ?? 0n),
    },
    recording: recording.counts,
    windows: Number(after.windowsClosed),
    maps,
    levelChanges: await levelChanges(clients, stream, fed.firstMs, Number.POSITIVE_INFINITY),
  });
}
