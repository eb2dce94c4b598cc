/** What requests of this context share: the scope they are about, and the place a page begins before. */
import { fieldError } from '../../errors.ts';
import type { Scope } from '../../gen/homeostat/resilience/v1/resilience_service_pb.ts';
import { resilienceError } from '../errors.ts';
import type { CellName } from './cell.ts';

/** The cell a scope names; undefined for the fleet. Throws FIELD_INVALID for half a name. */
export function parseScope(scope: Scope | undefined): CellName | undefined {
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

/** A page token is the place of the last item of the page before. Throws FIELD_INVALID. */
export function parsePlace(token = ''): number | undefined {
  if (token === '') return undefined;
  if (!/^[1-9]\d{0,14}$/.test(token))
    throw fieldError(resilienceError.domain, [
      { field: 'page.page_token', description: 'must be the next_page_token of the page before' },
    ]);
  return Number(token);
}
