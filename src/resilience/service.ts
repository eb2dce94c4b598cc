/**
 * ResilienceService: requests in, health and levels out. Reads only: health from memory, the log from SQL. Defaults
 * and ranges are those the contract states.
 */
import { durationMs } from '@bufbuild/protobuf/wkt';
import type { Clock } from '../clock.ts';
import { fieldError } from '../errors.ts';
import {
  type GetHealthRequest,
  type ListDefenseLogRequest,
  ResilienceService,
  type Scope,
} from '../gen/homeostat/resilience/v1/resilience_service_pb.ts';
import { type Handlers, type ServiceBinding, serviceBinding } from '../rpc/handler.ts';
import type { CellName } from './cells/cell.ts';
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
      const beforePlace = parsePageToken(request);
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

/** The cell a scope names; undefined for the fleet. */
function parseScope(scope: Scope | undefined): CellName | undefined {
  if (!scope || (scope.domain === '' && scope.cluster === '')) return undefined;
  const { domain, cluster } = scope;
  if (domain === '' || cluster === '') {
    const field = domain === '' ? 'scope.domain' : 'scope.cluster';
    throw fieldError(resilienceError.domain, [
      { field, description: 'must be set: a cell is named by both, the fleet by neither' },
    ]);
  }
  return { domain, cluster };
}

/** A page token is the place of the last entry of the page before. */
function parsePageToken(request: ListDefenseLogRequest): number | undefined {
  const token = request.page?.pageToken ?? '';
  if (token === '') return undefined;
  if (!/^[1-9]\d{0,14}$/.test(token))
    throw fieldError(resilienceError.domain, [
      { field: 'page.page_token', description: 'must be the next_page_token of the page before' },
    ]);
  return Number(token);
}
