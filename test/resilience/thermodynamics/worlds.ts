/** What the suites of the analyses share: the service on a store, and what it was asked and hands to the workers. */
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  AssessPhaseRiskRequestSchema,
  ListPhaseRiskHistoryRequestSchema,
  PhaseRiskAssessmentSchema,
  type ThermodynamicsService,
} from '../../../src/gen/homeostat/resilience/v1/thermodynamics_service_pb.ts';
import type { Cell } from '../../../src/resilience/cells/cell.ts';
import type { RiskSeverity, RunMetric } from '../../../src/resilience/early-warning/assessment.ts';
import type { MetricJob } from '../../../src/resilience/early-warning/metric-assessment.ts';
import { runMetric } from '../../../src/resilience/early-warning/worker.ts';
import { createHealthBoard } from '../../../src/resilience/health.ts';
import { readPart } from '../../../src/resilience/ingest.ts';
import { createRiskStore } from '../../../src/resilience/phase-risk/store.ts';
import { createThermodynamicsService } from '../../../src/resilience/thermodynamics/service.ts';
import type { Handlers } from '../../../src/rpc/handler.ts';
import type { Store } from '../../../src/store/store.ts';
import { callOf } from '../../support/calls.ts';
import { createFakeClock } from '../../support/fake-clock.ts';
import { rules } from '../phase-risk/worlds.ts';
import { closedWindow, foldPart } from '../worlds.ts';

export const clock = createFakeClock();

export type AssessInit = MessageInitShape<typeof AssessPhaseRiskRequestSchema>;

/** The service over these cells, with what it hands to the workers. */
export function openService(
  store: Store,
  { run = inProcess, cells = {}, running = true }: ServiceShape = {},
) {
  const jobs: MetricJob[] = [];
  const board = createHealthBoard(rules);
  const table = createRiskStore(store);
  const shown = new Map<string, Cell>();
  for (const [cluster, severity] of Object.entries(cells)) {
    foldPart(shown, readPart(closedWindow({ cluster, index: 0, nodes: { a: 0.3 } }), 'cpu'), rules);
    const cell = shown.get(`fleet/${cluster}`)!;
    shown.set(`fleet/${cluster}`, { ...cell, risk: { ...cell.risk, severity, status: 'OK' } });
  }
  board.show(shown);
  const binding = createThermodynamicsService({
    board,
    table,
    clock,
    run: (job, signal) => {
      jobs.push(job);
      return run(job, signal);
    },
    running: () => running,
  });
  const handlers = binding.handlers as unknown as Handlers<typeof ThermodynamicsService>;
  const assess = async (init: AssessInit, signal: AbortSignal = new AbortController().signal) => {
    const reply = await handlers.assessPhaseRisk(
      create(AssessPhaseRiskRequestSchema, init),
      callOf({ signal }),
    );
    return create(PhaseRiskAssessmentSchema, reply.assessment!);
  };
  const list = async (init: MessageInitShape<typeof ListPhaseRiskHistoryRequestSchema>) => {
    const reply = await handlers.listPhaseRiskHistory(
      create(ListPhaseRiskHistoryRequestSchema, init),
      callOf(),
    );
    return { ids: reply.assessments!.map(({ id }) => id), count: reply.count, next: reply.nextPageToken! };
  };
  return { binding, assess, list, table, jobs };
}

export interface ServiceShape {
  readonly run?: RunMetric;
  /** Severity that holds, by cluster. */
  readonly cells?: Readonly<Record<string, RiskSeverity>>;
  readonly running?: boolean;
}

export const inProcess: RunMetric = async (job) => runMetric(job);
