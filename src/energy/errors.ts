/** The reasons this context can give, one row per value of `homeostat.energy.v1.ErrorReason`. */
import { defineErrors, fieldInvalid, reason } from '../errors.ts';

export const energyError = defineErrors('homeostat.energy', {
  FIELD_INVALID: fieldInvalid,
  SHAPE_MISMATCH: reason(
    'INVALID_ARGUMENT',
    ['before', 'after'],
    (m) => `the maps differ: ${m.before} before, ${m.after} after`,
  ),
  NEGATIVE_ENERGY: reason(
    'INVALID_ARGUMENT',
    ['cell'],
    (m) => `cell ${m.cell} is negative, which the policy rejects`,
  ),
  WORK_TOO_LARGE: reason(
    'RESOURCE_EXHAUSTED',
    ['limit', 'asked', 'unit'],
    (m) => `${m.asked} ${m.unit} were asked for, which is over ${m.limit}`,
  ),
  STREAM_NOT_FOUND: reason(
    'NOT_FOUND',
    ['domain', 'cluster'],
    (m) => `there is no stream ${m.domain}/${m.cluster}`,
  ),
  MAP_NOT_FOUND: reason(
    'NOT_FOUND',
    ['domain', 'cluster'],
    (m) => `stream ${m.domain}/${m.cluster} holds no such map`,
  ),
  NODE_NOT_FOUND: reason('NOT_FOUND', ['node'], (m) => `the map observed no node ${m.node}`),
  NOT_STATISTICAL: reason('FAILED_PRECONDITION', [], () => 'a physical map has no attribution'),
  VERSION_CONFLICT: reason('ABORTED', ['current'], (m) => `the version is now ${m.current}`),
  RESUME_TOO_OLD: reason(
    'FAILED_PRECONDITION',
    ['oldest'],
    (m) => `the maps to resume from are no longer held; the oldest one is from ${m.oldest}`,
  ),
  PROOF_NOT_FOUND: reason('NOT_FOUND', ['proof_id'], (m) => `there is no proof ${m.proof_id}`),
  FORECAST_NOT_FOUND: reason(
    'NOT_FOUND',
    ['forecast_id'],
    (m) => `there is no forecast ${m.forecast_id}, or it is no longer kept`,
  ),
  MODEL_NOT_FOUND: reason('NOT_FOUND', ['model_id'], (m) => `there is no model ${m.model_id}`),
  OBSERVATION_REPLAYED: reason(
    'ALREADY_EXISTS',
    ['proof_id'],
    (m) => `the observation was verified before, by proof ${m.proof_id}`,
  ),
  NONCE_REUSED: reason(
    'ALREADY_EXISTS',
    ['proof_id'],
    (m) => `the nonce was used before, for proof ${m.proof_id}`,
  ),
  LEDGER_READ_ONLY: reason('UNAVAILABLE', ['reason'], (m) => `the ledger takes no entries: ${m.reason}`),
  WRONG_STAGE: reason(
    'FAILED_PRECONDITION',
    ['stage', 'needs'],
    (m) => `the model is ${m.stage}, which has to be ${m.needs}`,
  ),
  EVIDENCE_TOO_WEAK: reason(
    'FAILED_PRECONDITION',
    ['paired', 'needs', 'p_value'],
    (m) => `${m.paired} paired forecasts at p = ${m.p_value} do not suffice; it takes ${m.needs} at p < 0.05`,
  ),
  IDEMPOTENCY_KEY_REUSED: reason(
    'ALREADY_EXISTS',
    [],
    () => 'the idempotency key named another command before',
  ),
});

/** Throws WORK_TOO_LARGE for a reply of more bytes than may be sent. */
export function refuseLargeReply(bytes: number, bytesMax: number): void {
  if (bytes > bytesMax)
    throw energyError(
      'WORK_TOO_LARGE',
      { limit: bytesMax, asked: bytes, unit: 'bytes' },
      { retryAfterMs: -1 },
    );
}
