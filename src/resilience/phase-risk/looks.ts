/**
 * Looks under way. A look is begun when the windows of its cell have passed its instant, waits for the maps to pass it
 * too, and is computed on the worker pool, one look at a time; whoever needs what it found waits for it. The same cell,
 * instant and values always give the same findings: its seed follows from the first two.
 *
 * Energy may be away: a cell whose maps make no progress for a while is looked at without them.
 */
import { setMaxListeners } from 'node:events';
import type { Clock } from '../../clock.ts';
import { describeError } from '../../errors.ts';
import { derivedId } from '../../ids.ts';
import type { Logger } from '../../observability.ts';
import type { CellName } from '../cells/cell.ts';
import {
  type Assessment,
  type AssessmentOptions,
  assess,
  type RunMetric,
} from '../early-warning/assessment.ts';
import type { MetricReference } from '../early-warning/metric-assessment.ts';
import type { Series } from '../early-warning/series.ts';
import { cellKey } from '../fleet.ts';
import type { Detector } from './detector.ts';
import type { Detectors } from './detectors.ts';
import { STANDING_METRICS } from './standing-metrics.ts';

/** How looks are made. */
export interface LookOptions extends Omit<AssessmentOptions, 'seed'> {
  /** Utilization to stay under. */
  readonly ceiling: number;
  /** Wall time without any map after which they are no longer waited for, ms. */
  readonly mapGraceMs: number;
}

export interface LooksDeps {
  readonly options: LookOptions;
  readonly detectors: Detectors;
  readonly run: RunMetric;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What a look is made of and found. */
export interface LookResult {
  readonly assessment: Assessment;
  readonly seed: number;
  /** Width of a grid slot, ms. */
  readonly intervalMs: number;
}

export interface RiskLooks {
  /** Begins a look; one that is under way goes on. */
  begin(cell: CellName, atMs: number, references: ReadonlyMap<string, MetricReference>): void;
  /** What a look found, begun now if it was not; one that failed found nothing. Rejects when the looks are stopped. */
  result(cell: CellName, atMs: number, references: ReadonlyMap<string, MetricReference>): Promise<LookResult>;
  /** Looks are begun anew from now on: what windows said since the last commit has been taken back. */
  forget(): void;
  /** Ends every look under way. */
  stop(): void;
}

/** Longest wait for maps while those of other cells come, in graces. */
const GRACES_MAX = 6;

export function createRiskLooks(deps: LooksDeps): RiskLooks {
  const { options, detectors, run, clock, logger } = deps;
  const stopping = new AbortController();
  const { signal } = stopping;
  setMaxListeners(0, signal); // As many cells may wait as there are.
  const underWay = new Map<string, { readonly atMs: number; readonly found: Promise<LookResult> }>();
  /** How far the maps of a cell had come when they were given up. */
  const givenUp = new Map<string, number>();
  let turn: Promise<unknown> = Promise.resolve();

  const seriesOf = (detector: Detector | undefined, atMs: number): Series[] => {
    if (!detector) return [];
    const limited = { limit: options.ceiling, direction: 'LOWER' } as const;
    return STANDING_METRICS[detector.feed]
      .map((name) => ({
        name,
        intervalMs: detector.intervalMs,
        values: detector.slots(name, atMs),
        ...(name === 'utilization' && limited),
      }))
      .filter(({ values }) => values.length > 0);
  };
  /** Series of the maps, read the moment they have passed an instant: a failed commit may take them back after it. */
  const seriesOfMaps = async (key: string, atMs: number, intervalMs: number): Promise<Series[]> => {
    const giveUpMs = clock.monotonicMs() + GRACES_MAX * options.mapGraceMs;
    for (;;) {
      const maps = detectors.find('maps', key);
      const passedMs = maps?.passedMs ?? Number.MIN_SAFE_INTEGER;
      if (passedMs >= atMs || passedMs === givenUp.get(key)) return seriesOf(maps?.onGrid(intervalMs), atMs);
      const progress = await detectors.changed('maps', options.mapGraceMs, signal);
      if (progress && clock.monotonicMs() < giveUpMs) continue;
      givenUp.set(key, passedMs);
      logger.warn({ cell: key, atMs }, 'maps are not coming, early warnings are looked for without them');
    }
  };
  const assessInTurn = (series: readonly Series[], seed: number, references: References) => {
    const mine = turn.then(() => assess(series, { ...options, seed }, run, references, signal));
    turn = mine.catch(() => undefined); // Reported to whoever waits for this one.
    return mine;
  };
  const look = async (key: string, atMs: number, references: References): Promise<LookResult> => {
    const windows = detectors.find('windows', key);
    const intervalMs = windows?.intervalMs ?? 0;
    const series = [...seriesOf(windows, atMs), ...(await seriesOfMaps(key, atMs, intervalMs))];
    const seed = seedOf(key, atMs);
    try {
      return { assessment: await assessInTurn(series, seed, references), seed, intervalMs };
    } catch (error) {
      signal.throwIfAborted();
      logger.error({ cell: key, atMs, error: describeError(error) }, 'a look for early warnings failed');
      return { assessment: { ...NOTHING_FOUND, alpha: options.alpha }, seed, intervalMs };
    }
  };
  const begin = (cell: CellName, atMs: number, references: References): Promise<LookResult> => {
    const key = cellKey(cell);
    const entry = underWay.get(key);
    if (entry?.atMs === atMs) return entry.found;
    const found = look(key, atMs, references);
    found.catch(() => undefined); // Only when stopped; whoever waits is told.
    underWay.set(key, { atMs, found });
    return found;
  };

  return {
    begin(cell, atMs, references) {
      void begin(cell, atMs, references);
    },
    result: begin,
    forget: () => underWay.clear(),
    stop: () => stopping.abort(new Error('looks are stopped')),
  };
}

type References = ReadonlyMap<string, MetricReference>;

/** What a look that failed found. */
const NOTHING_FOUND = { severity: 'UNKNOWN', metrics: [], tests: 0 } as const;

/** 48 bits that follow from the cell and the instant. */
function seedOf(key: string, atMs: number): number {
  return Number.parseInt(
    derivedId('phase-risk-seed', key, String(atMs)).replaceAll('-', '').slice(0, 12),
    16,
  );
}
