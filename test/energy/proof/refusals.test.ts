/** What ProofService refuses, on both engines: nothing of it is left behind. */
import { expect, test } from '@jest/globals';
import { gridDigest } from '../../../src/energy/map/digest.ts';
import { Regime } from '../../../src/gen/homeostat/energy/v1/energy_service_pb.ts';
import { ProofVerdict } from '../../../src/gen/homeostat/energy/v1/proof_service_pb.ts';
import { NegativePolicy } from '../../../src/gen/homeostat/type/v1/grid_pb.ts';
import { describeOnStores } from '../../support/stores.ts';
import { bodyOf, FORECAST_ID, forecastOf, GRID, hex, NOBODY, useProofSuite } from './support/proof-suite.ts';
import { type PredictionInit, STREAM } from './support/proof-world.ts';

const refusals = [
  [
    'a stream nobody knows',
    { stream: { domain: 'plant', cluster: 'unknown' } },
    'STREAM_NOT_FOUND',
    'NOT_FOUND',
  ],
  [
    'a map before of another shape',
    { budget: { before: { rows: 1, cols: 4, values: [1, 2, 3, 4] } } },
    'SHAPE_MISMATCH',
    'INVALID_ARGUMENT',
  ],
  [
    'a map before without all its cells',
    { budget: { before: { rows: 2, cols: 2, values: [1] } } },
    'context.budget.before.values',
    'INVALID_ARGUMENT',
  ],
  [
    'sources in a conservative budget',
    { budget: { before: GRID, sourcesWatts: 1 } },
    'context.budget.sources_watts',
    'INVALID_ARGUMENT',
  ],
  [
    'a flow in without one out',
    { budget: { before: GRID, inflow: GRID } },
    'context.budget.inflow',
    'INVALID_ARGUMENT',
  ],
  [
    'a flow below 0',
    { budget: { before: GRID, inflow: GRID, outflow: { ...GRID, values: [0, 0, -1, 0] } } },
    'context.budget.outflow',
    'INVALID_ARGUMENT',
  ],
  [
    'a time beyond all calendars',
    { capturedAt: { seconds: 10n ** 17n, nanos: 0 } },
    'context.captured_at',
    'INVALID_ARGUMENT',
  ],
] as const;

describeOnStores('a proof that is refused', (engine) => {
  const suite = useProofSuite(engine);

  test('a repeat is the first reply, and another command under its key is refused', async () => {
    const request = suite.world.claim();
    const proof = await suite.world.as('ada').claim(request);
    expect(await suite.world.as('ada').claim(request)).toEqual(proof);
    expect(suite.world.issued).toHaveLength(1);
    await suite.unchanged(() =>
      expect(
        suite.world.as('ada').claim({ ...request, claimedRegime: Regime.CRITICAL }),
      ).rejects.toMatchObject({
        reason: 'IDEMPOTENCY_KEY_REUSED',
        kind: 'ALREADY_EXISTS',
      }),
    );
    const prediction = suite.world.prediction({ observed: { grid: { ...GRID, values: [1, 2, 3, 3.9] } } });
    const foretold = await suite.world.as('ada').predict(prediction);
    expect(await suite.world.as('ada').predict(prediction)).toEqual(foretold);
    await expect(suite.world.as('ada').predict({ ...prediction, horizon: 9 })).rejects.toMatchObject({
      reason: 'IDEMPOTENCY_KEY_REUSED',
    });
  });

  test('energy.proof an observation is VERIFIED once for a stream, whoever says what of it', async () => {
    const proof = await suite.world
      .as('ada')
      .claim(suite.world.claim({ context: suite.world.context({ stream: STREAM }) }));
    for (const replay of [
      () =>
        suite.world.as('ada').claim(suite.world.claim({ context: suite.world.context({ stream: STREAM }) })),
      () =>
        suite.world
          .as('bob')
          .predict(suite.world.prediction({ context: suite.world.context({ stream: STREAM }) })),
      () =>
        suite.world.as('ada').claim(
          suite.world.claim({
            map: {
              grid: { rows: 2, cols: 2, rawValues: new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer) },
            },
            claimedRegime: Regime.CRITICAL,
            context: suite.world.context({ stream: STREAM }),
          }),
        ),
    ])
      await suite.unchanged(() =>
        expect(replay()).rejects.toMatchObject({
          reason: 'OBSERVATION_REPLAYED',
          kind: 'ALREADY_EXISTS',
          metadata: { proof_id: proof.proofId },
        }),
      );
    // Another stream has its own.
    const context = suite.world.context({ stream: { ...STREAM, cluster: 'b' } });
    expect((await suite.world.as('ada').claim(suite.world.claim({ context }))).verdict).toBe(
      ProofVerdict.VERIFIED,
    );
  });

  test('energy.proof a nonce is used once by a caller, whatever became of it', async () => {
    const context = suite.world.context();
    const map = { grid: { ...GRID, values: [1, 2, 3, 5] } };
    const proof = await suite.world
      .as('ada')
      .claim(suite.world.claim({ context, claimedRegime: Regime.CHAOTIC }));
    expect(proof.verdict).toBe(ProofVerdict.REFUTED);
    await suite.unchanged(() =>
      expect(suite.world.as('ada').claim(suite.world.claim({ map, context }))).rejects.toMatchObject({
        reason: 'NONCE_REUSED',
        kind: 'ALREADY_EXISTS',
        metadata: { proof_id: proof.proofId },
      }),
    );
    await expect(
      suite.world.as('ada').predict(suite.world.prediction({ context, observed: map })),
    ).rejects.toMatchObject({ reason: 'NONCE_REUSED' });
    expect((await suite.world.as('bob').claim(suite.world.claim({ map, context }))).verdict).toBe(
      ProofVerdict.VERIFIED,
    );
  });

  test('what is told that cannot be is refused, of a claim and of a prediction', async () => {
    const ada = suite.world.as('ada');
    await suite.unchanged(async () => {
      for (const [name, changed, reason, kind] of refusals) {
        const context = () => suite.world.context(changed as object);
        const refusal = reason.includes('.')
          ? { kind, reason: 'FIELD_INVALID', violations: [expect.objectContaining({ field: reason })] }
          : { kind, reason };
        for (const refused of [
          () => ada.claim(suite.world.claim({ context: context() })),
          () => ada.predict(suite.world.prediction({ context: context() })),
        ]) {
          const error = await refused().catch((thrown: unknown) => thrown);
          expect({ name, error }).toEqual({ name, error: expect.objectContaining(refusal) });
        }
      }
    });
  });

  test('a map that is no map, or negative where that is not allowed, is refused', async () => {
    const ada = suite.world.as('ada');
    const grid = { rows: 2, cols: 2, values: [1, 2, 3, Number.NaN] };
    await expect(ada.claim(suite.world.claim({ map: { grid } }))).rejects.toMatchObject({
      violations: [{ field: 'map.grid.values[3]' }],
    });
    await expect(ada.predict(suite.world.prediction({ observed: { grid } }))).rejects.toMatchObject({
      violations: [{ field: 'observed.grid.values[3]' }],
    });
    await expect(ada.predict(suite.world.prediction({ predicted: grid }))).rejects.toMatchObject({
      violations: [{ field: 'predicted.values[3]' }],
    });
    await expect(ada.verify(Uint8Array.of(1), { grid })).rejects.toMatchObject({
      violations: [{ field: 'map.grid.values[3]' }],
    });
    const negative = {
      grid: { rows: 2, cols: 2, values: [1, -2, 3, 4] },
      negativePolicy: NegativePolicy.REJECT,
    };
    await expect(ada.claim(suite.world.claim({ map: negative }))).rejects.toMatchObject({
      reason: 'NEGATIVE_ENERGY',
      metadata: { cell: '1' },
    });
    await expect(ada.predict(suite.world.prediction({ observed: negative }))).rejects.toMatchObject({
      reason: 'NEGATIVE_ENERGY',
    });
    // What is computed with is what the policy makes of the cells; what is digested is what was given.
    const absolute = { ...negative, negativePolicy: NegativePolicy.ABSOLUTE };
    const proof = await ada.claim(
      suite.world.claim({ map: absolute, context: suite.world.context({ claimedTotal: 10 }) }),
    );
    expect(proof.verdict).toBe(ProofVerdict.VERIFIED);
    expect(hex(bodyOf(proof).observationDigest)).toBe(hex(gridDigest(Float32Array.of(1, -2, 3, 4), 2, 2)));
  });

  test('a prediction is a map of the shape observed or a forecast that is kept, and not both', async () => {
    const forecasting = await suite.open({ forecasts: [{ ...forecastOf(suite.clock), rows: 1, cols: 4 }] });
    const ada = forecasting.as('ada');
    const { predicted: _, ...none } = forecasting.prediction();
    const named = { ...none, forecastId: FORECAST_ID };
    const cases: readonly (readonly [PredictionInit, object])[] = [
      [none, { reason: 'FIELD_INVALID', violations: [{ field: 'predicted' }] }],
      [
        { ...named, predicted: GRID },
        { reason: 'FIELD_INVALID', violations: [{ field: 'predicted' }] },
      ],
      [{ ...none, predicted: { rows: 1, cols: 4, values: [1, 2, 3, 4] } }, { reason: 'SHAPE_MISMATCH' }],
      [named, { reason: 'SHAPE_MISMATCH' }],
      [{ ...named, horizon: 1 }, { violations: [{ field: 'horizon' }] }],
      [
        { ...named, context: forecasting.context({ stream: { ...STREAM, cluster: 'b' } }) },
        { violations: [{ field: 'context.stream' }] },
      ],
      [
        { ...none, forecastId: NOBODY },
        { reason: 'FORECAST_NOT_FOUND', kind: 'NOT_FOUND', metadata: { forecast_id: NOBODY } },
      ],
    ];
    for (const [request, refusal] of cases) await expect(ada.predict(request)).rejects.toMatchObject(refusal);
    expect((await ada.list()).proofs).toEqual([]);
  });

  test('nothing is proven while the ledger takes no entries', async () => {
    const closed = await suite.open({ ledger: { readOnly: () => 'DAMAGED' } });
    const refusal = {
      reason: 'LEDGER_READ_ONLY',
      kind: 'UNAVAILABLE',
      retryAfterMs: 60_000,
      metadata: { reason: 'DAMAGED' },
    };
    await suite.unchanged(async () => {
      await expect(closed.as('ada').claim(closed.claim())).rejects.toMatchObject(refusal);
      await expect(closed.as('ada').predict(closed.prediction())).rejects.toMatchObject(refusal);
    });
    // What was proven before is answered again.
    const request = suite.world.claim();
    const proof = await suite.world.as('ada').claim(request);
    expect(await closed.as('ada').claim(request)).toEqual(proof);
  });

  test('a proof whose entry cannot be appended leaves nothing behind', async () => {
    const failing = await suite.open({ ledger: { append: () => Promise.reject(new Error('no')) } });
    const request = failing.claim();
    await suite.unchanged(() => expect(failing.as('ada').claim(request)).rejects.toThrow('no'));
    expect(failing.issued).toEqual([]);
    expect((await suite.world.as('ada').claim(request)).verdict).toBe(ProofVerdict.VERIFIED);
  });

  test('a caller that gives up is not answered', async () => {
    const rows = 256;
    const values = Array.from({ length: rows * rows }, (_, at) => at % 7);
    const controller = new AbortController();
    const ticking = { ...suite.clock, monotonicMs: () => performance.now() * 100 };
    const slow = await suite.open({ clock: ticking });
    controller.abort(new Error('gone'));
    await expect(
      slow.as('ada', controller.signal).claim(slow.claim({ map: { grid: { rows, cols: rows, values } } })),
    ).rejects.toThrow('gone');
  });
});
