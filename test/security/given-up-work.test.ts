/**
 * The RPCs that compute, given up by their callers: what computes on the event loop ends with its slice, what computes
 * on a worker frees it. Sampling, imputation and searches, which last longest, are in test/diffusion.
 */
import { create, type DescMethod, type DescService } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Bus } from '../../src/bus/bus.ts';
import { createDiffusion, diffusionMigrations } from '../../src/diffusion/context.ts';
import { createEnergy, energyMigrations } from '../../src/energy/context.ts';
import { DiffusionService } from '../../src/gen/homeostat/diffusion/v1/diffusion_service_pb.ts';
import { EnergyService, Regime } from '../../src/gen/homeostat/energy/v1/energy_service_pb.ts';
import { ProofService } from '../../src/gen/homeostat/energy/v1/proof_service_pb.ts';
import { createIds } from '../../src/ids.ts';
import { createWorkerPool } from '../../src/numeric/worker-pool.ts';
import { createMetrics } from '../../src/observability.ts';
import type { Call, ServiceBinding } from '../../src/rpc/handler.ts';
import { compileRules } from '../../src/rpc/validate.ts';
import { CONFIG } from '../energy/support/energy-world.ts';
import { callOf } from '../support/calls.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { openTestStore, silentLogger, type TestStore } from '../support/stores.ts';

const SIDE = 512;
const gridOf = (side: number) => {
  const cells = Float32Array.from({ length: side ** 2 }, (_, at) => 1 + Math.sin(at / 7));
  return { rows: side, cols: side, rawValues: new Uint8Array(cells.buffer) };
};
const grid = gridOf(SIDE);
const map = { grid };
/** The largest that is learned from. */
const learned = gridOf(256);
let nonces = 0;
const proven = () => ({
  context: {
    capturedAt: timestampFromMs(createFakeClock().nowMs()),
    nonce: new Uint8Array(16).fill(nonces++),
    budget: { before: grid },
  },
  idempotencyKey: `key-${nonces}`,
});
const claim = () => ({ map, claimedRegime: Regime.EQUILIBRIUM, ...proven() });

let opened: TestStore;
let services: readonly ServiceBinding[];
const pool = createWorkerPool({ threads: 1, queueMax: 8 });

beforeAll(async () => {
  opened = await openTestStore([...energyMigrations, ...diffusionMigrations]);
  let elapsedMs = 0;
  // A step of a computation is always longer than a slice.
  const clock = { ...createFakeClock(), monotonicMs: () => (elapsedMs += 1_000) };
  const edges = {
    clock,
    store: opened.store,
    bus: { record: async () => undefined } as unknown as Bus,
    logger: silentLogger,
    newId: createIds(clock),
  };
  const ledger = {
    append: async () => ({ index: 0 }),
    sign: () => ({ signature: new Uint8Array(64), signer: 'test' }),
    verify: () => true,
    readOnly: () => undefined,
  };
  const config = { sendBytesMax: CONFIG.sendBytesMax };
  services = [
    ...createEnergy({ ...edges, config: CONFIG, ledger, metrics: createMetrics() }).services,
    ...createDiffusion({ ...edges, config, workers: pool, metrics: createMetrics() }).services,
  ];
});
afterAll(async () => {
  await pool.close();
  await opened.dispose();
});

/** Calls a handler as the edge does. */
async function ask(method: DescMethod, init: object, signal?: AbortSignal): Promise<unknown> {
  const request = create(method.input, init as never);
  expect(compileRules(method.input)!(request)).toEqual([]);
  const { handlers } = services.find(({ service }) => service === method.parent)!;
  const handler = handlers[method.localName] as (request: object, call: Call) => Promise<object>;
  return handler(request, callOf(signal && { signal }));
}

type Given = object | (() => object | Promise<object>);
const made = async (given: Given) => (typeof given === 'function' ? given() : given);
const rows = <Service extends DescService>(
  { method }: Service,
  given: { readonly [Name in keyof Service['method']]?: Given },
): [string, DescMethod, Given][] =>
  Object.entries(given).map(([name, request]) => [
    name,
    method[name as never] as DescMethod,
    request as Given,
  ]);

const sliced = [
  ...rows(EnergyService, {
    computeState: { map },
    checkConservation: { before: map, after: map },
    predict: { map: { grid: learned }, history: [learned, learned, learned], numSteps: 2 },
    classify: { maps: [grid, grid] },
  }),
  ...rows(ProofService, {
    proveClaim: claim,
    provePrediction: () => ({ observed: map, predicted: grid, ...proven() }),
    async verifyReceipt() {
      const one = { grid: { rows: 1, cols: 1, values: [1] } };
      const { context, ...rest } = claim();
      const request = { ...rest, map: one, context: { ...context, budget: undefined } };
      const answer = await ask(ProofService.method.proveClaim, request);
      const { proof } = answer as { readonly proof: { readonly receipt: Uint8Array } };
      return { receipt: proof.receipt, map };
    },
  }),
];

describe('endpoints: a computation on the event loop ends with its slice when it is given up', () => {
  /** Turns of the event loop until the work has ended, and how; a slice takes one. */
  async function turnsOf(work: Promise<unknown>, each: (turn: number) => void = () => undefined) {
    let ended = false;
    const end = work
      .then(
        () => 'answered',
        (error: unknown) => error,
      )
      .finally(() => {
        ended = true;
      });
    let turns = 0;
    for (; !ended; turns++) {
      each(turns);
      await new Promise((resolve) => setImmediate(resolve));
    }
    return { turns, end: await end };
  }

  test.each(sliced)('%s', async (_name, method, given) => {
    const whole = await turnsOf(ask(method, await made(given)));
    expect(whole).toMatchObject({ end: 'answered' });
    expect(whole.turns).toBeGreaterThanOrEqual(5);

    const gone = new Error('gone');
    const before = await turnsOf(ask(method, await made(given), AbortSignal.abort(gone)));
    expect(before).toEqual({ turns: 1, end: gone });

    const canceled = new AbortController();
    const half = Math.floor(whole.turns / 2);
    const middle = await turnsOf(ask(method, await made(given), canceled.signal), (turn) => {
      if (turn === half) canceled.abort(gone);
    });
    expect(middle).toEqual({ turns: half + 1, end: gone });
  });
});

describe('endpoints: a computation on a worker frees it when it is given up', () => {
  const small = { spec: { rows: 2, cols: 2, seed: 1n } };

  test.each(
    rows(DiffusionService, {
      sample: { spec: { rows: SIDE, cols: SIDE, samples: 8, numInferenceSteps: 1000, seed: 1n } },
      denoise: { map, samples: 60, seed: 1n },
      impute: { map: { grid, observed: new Uint8Array(SIDE ** 2 / 8).fill(0x55) }, samples: 60, seed: 1n },
      score: { maps: new Array(60).fill(grid) },
      fitPrior: { maps: new Array(16).fill(grid), components: 4, idempotencyKey: 'fit' },
    }),
  )('%s', async (_name, method, given) => {
    const answer = await ask(DiffusionService.method.sample, small); // There is a thread.
    const gone = new Error('gone');
    await expect(ask(method, given, AbortSignal.abort(gone))).rejects.toBe(gone);
    const canceled = new AbortController();
    const work = ask(method, given, canceled.signal);
    await new Promise((resolve) => setImmediate(resolve)); // By now it is at work.
    canceled.abort(gone);
    await expect(work).rejects.toBe(gone);
    expect(await ask(DiffusionService.method.sample, small)).toEqual(answer);
  });
});
