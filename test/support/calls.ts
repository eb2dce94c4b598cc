/** Callers and calls for tests that meet handlers or the edge without identity. */
import type { Call, Peer, Principal } from '../../src/rpc/handler.ts';

/** A caller with these permissions, `*` for either part of one. */
export function principalOf(id: string, ...permissions: readonly string[]): Principal {
  const matches = (granted: string, wanted: string) => {
    const [noun, verb] = granted.split('.');
    const [wantedNoun, wantedVerb] = wanted.split('.');
    return (noun === '*' || noun === wantedNoun) && (verb === '*' || verb === wantedVerb);
  };
  return {
    id,
    tier: 'ENTERPRISE',
    credential: { kind: 'API_KEY', id: `key-of-${id}`, familyId: '' },
    allows: (wanted) => permissions.some((granted) => matches(granted, wanted)),
  };
}

export const LOOPBACK: Peer = { address: '127.0.0.1', certificate: undefined };

/** A call of a caller that may do nothing in particular; its audit entries go nowhere. */
export function callOf(changed: Partial<Call> = {}): Call {
  const { signal = new AbortController().signal } = changed;
  return {
    principal: principalOf('test'),
    peer: LOOPBACK,
    requestId: 'r1',
    signal,
    throwIfAborted: () => signal.throwIfAborted(),
    traceparent: undefined,
    audit: async () => undefined,
    ...changed,
  };
}
