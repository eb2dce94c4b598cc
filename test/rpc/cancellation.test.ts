/** What the edge does of every RPC whose caller gives up while its handler is at work. */
import type { DescMethod, DescService, Message } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Call, type Handlers, serviceBinding } from '../../src/rpc/handler.ts';
import { answersOf, byPath, methods, pathOf } from '../support/contract.ts';
import { type EdgeWorld, startEdge, until } from './edge-world.ts';
import { goodMessage } from './rule-cases.ts';

/** Those of the contexts; the edge answers the others itself. */
const served = methods.filter(({ parent }) => !parent.typeName.startsWith('grpc.'));

describe('endpoints: every RPC given up while its handler is at work', () => {
  let world: EdgeWorld;
  /** The call that is with its handler. */
  let entered: Call | undefined;
  let ended: boolean;

  /** Works until nobody waits any more. */
  async function work(call: Call): Promise<never> {
    entered = call;
    const { signal } = call;
    try {
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      throw signal.reason;
    } finally {
      ended = true;
    }
  }
  const one = (_request: unknown, call: Call) => work(call);
  async function* many(_request: unknown, call: Call) {
    yield {};
    await work(call);
  }
  function bindingOf(service: DescService) {
    const handlers = service.methods.map(({ localName, methodKind }) => {
      const isMany = methodKind === 'server_streaming' || methodKind === 'bidi_streaming';
      return [localName, isMany ? many : one];
    });
    return serviceBinding(service, Object.fromEntries(handlers) as Handlers<DescService>);
  }

  beforeAll(async () => {
    const services = new Set(served.map(({ parent }) => parent));
    world = await startEdge({ bindings: [...services].map(bindingOf) });
  });
  afterAll(() => world.stop());

  /** Gives up at the first answer or, where there is none before the end, when the handler is at work. */
  async function giveUp(method: DescMethod): Promise<unknown> {
    const canceled = new AbortController();
    const request = goodMessage(method.input) as Message;
    const answers = answersOf(world.channel, method, request, { signal: canceled.signal });
    const first = answers.next();
    const isMany = method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming';
    await (isMany ? first : until(() => entered !== undefined));
    canceled.abort();
    return (isMany ? answers.next() : first).catch((error: unknown) => error);
  }

  test.each(byPath(served))('%s', async (path, method) => {
    entered = undefined;
    ended = false;
    world.lines.length = 0;
    expect(await giveUp(method)).toMatchObject({ code: 'CANCELLED' });
    await until(() => ended && world.lines.length > 0);
    expect(entered!.signal.reason).toMatchObject({ domain: 'homeostat.edge', reason: 'CANCELLED' });
    expect(world.lines).toEqual([
      expect.objectContaining({ level: 30, method: `/${path}`, code: 'CANCELLED', reason: 'CANCELLED' }),
    ]);
    const labels = `service="${method.parent.typeName}",method="${method.name}"`;
    const exposition = await world.metrics.exposition();
    expect(exposition).toContain(`homeostat_rpc_requests_total{${labels},code="CANCELLED"} 1\n`);
    expect(exposition).toContain(`homeostat_rpc_in_flight{${labels}} 0\n`);
  });

  test('are all that contexts serve', () => {
    expect(served.map(pathOf)).toHaveLength(methods.length - 4);
  });
});
