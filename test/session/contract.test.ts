import { describe, expect, test } from '@jest/globals';
import { ErrorReasonSchema } from '../../src/gen/homeostat/session/v1/error_reason_pb.ts';
import { RefusalCauseSchema } from '../../src/gen/homeostat/session/v1/session_events_pb.ts';
import {
  PrioritySchema,
  SessionState as SessionStateProto,
  SessionStateSchema,
} from '../../src/gen/homeostat/session/v1/session_service_pb.ts';
import { REFUSAL_CAUSES } from '../../src/session/admission.ts';
import { causeToProto, priorityToProto, stateFromProto, stateToProto } from '../../src/session/contract.ts';
import { sessionError } from '../../src/session/errors.ts';
import { TRANSITIONS } from '../../src/session/session.ts';

/** Names and numbers of an enum without its zero, the prefix cut off. */
function valuesOf(schema: { values: readonly { name: string; number: number }[] }, prefix: string) {
  const values = schema.values.filter((value) => value.number !== 0);
  return Object.fromEntries(values.map((value) => [value.name.slice(prefix.length), value.number]));
}

describe("session's contract", () => {
  test('names the states, priorities and causes of the domain', () => {
    expect(stateToProto).toEqual(valuesOf(SessionStateSchema, 'SESSION_STATE_'));
    expect(priorityToProto).toEqual(valuesOf(PrioritySchema, 'PRIORITY_'));
    expect(causeToProto).toEqual(valuesOf(RefusalCauseSchema, 'REFUSAL_CAUSE_'));
    expect(Object.keys(causeToProto)).toEqual(REFUSAL_CAUSES);
  });

  test('has every state of the table, and the table every state', () => {
    expect(new Set(TRANSITIONS.map((row) => row.to))).toEqual(new Set(Object.keys(stateToProto)));
    for (const { to } of TRANSITIONS) expect(stateFromProto(stateToProto[to])).toBe(to);
    expect(stateFromProto(SessionStateProto.UNSPECIFIED)).toBeUndefined();
  });

  test('names every reason session can give', () => {
    expect(Object.keys(sessionError.table).sort()).toEqual(
      Object.keys(valuesOf(ErrorReasonSchema, 'ERROR_REASON_')).sort(),
    );
  });
});
