/**
 * ResilienceService: requests in, health and levels out. Reads only: health from memory, the log from SQL. Defaults
 * and ranges are those the contract states.
 */
import { durationMs } from '@bufbuild/protobuf/wkt';
import type { Clock } from '../clock.ts';
import {
  type GetHealthRequest,
  ResilienceService,
} from '../gen/homeostat/resilience/v1/resilience_service_pb.ts';
import { type Handlers, type ServiceBinding, serviceBinding } from '../rpc/handler.ts';
import { parsePlace, parseScope } from './cells/scope.ts';
import { resilienceError } from './errors.ts';
import type { Health, HealthBoard } from './health.ts';
import { defenseToProto, healthToProto, logEntryToProto } from './publish.ts';
import type { ResilienceStore } from './store.ts';
import { watchHealth } from './watch.ts';

const HEARTBEAT_MS = 10_000;
const LOG_HOURS = 24;
const PAGE_SIZE = 50;
const HOUR_MS = 3_600_000;

/** What the handlers need. */
export interface ServiceDeps {
  readonly board: HealthBoard;
  readonly table: ResilienceStore;
  readonly clock: Clock;
  /** Whether what the last commit left has been read and windows are taken in. */
  readonly running: () => boolean;
}

/** The service with its handlers. Errors: FIELD_INVALID, CELL_NOT_FOUND. */
export function createResilienceService(deps: ServiceDeps): ServiceBinding {
  const { board, table, clock } = deps;

  const healthOf = (request: Pick<GetHealthRequest, 'scope'>): Health => {
    const scope = parseScope(request.scope);
    const health = board.health(scope);
    if (!health) throw resilienceError('CELL_NOT_FOUND', { ...scope! });
    return health;
  };

  const handlers: Handlers<typeof ResilienceService> = {
    getHealth: (request) => ({ health: healthToProto(healthOf(request)) }),

    getDefense: (request) => ({ defense: defenseToProto(healthOf(request).defense) }),

    async *watchHealth(request, call) {
      const { scope } = healthOf(request);
      const reports = watchHealth(board, clock, {
        scope,
        seenToken: request.resumeToken,
        heartbeatMs: request.heartbeat ? durationMs(request.heartbeat) : HEARTBEAT_MS,
        signal: call.signal,
      });
      for await (const { health, token } of reports)
        yield { resumeToken: token, ...(health && { health: healthToProto(health) }) };
    },

    async listDefenseLog(request) {
      const size = request.page?.pageSize ?? PAGE_SIZE;
      const beforePlace = parsePlace(request.page?.pageToken);
      const found = await table.listLog({
        ...(request.scope && { scope: parseScope(request.scope) ?? 'FLEET' }),
        recordedSinceMs: clock.nowMs() - (request.hours ?? LOG_HOURS) * HOUR_MS,
        ...(beforePlace !== undefined && { beforePlace }),
        limit: size + 1,
      });
      const entries = found.slice(0, size);
      const last = found.length > size ? entries.at(-1) : undefined;
      return { entries: entries.map(logEntryToProto), nextPageToken: last ? String(last.place) : '' };
    },
  };
  return serviceBinding(ResilienceService, handlers, () => (deps.running() ? [] : ['STARTING']));
}
