/** By which rule a budget is judged: the one its stream is configured with, or its own. On both engines. */
import { expect, test } from '@jest/globals';
import { BudgetMode } from '../../../src/gen/homeostat/energy/v1/energy_service_pb.ts';
import {
  ProofCheckKind,
  ProofCheckOutcome,
  ProofVerdict,
} from '../../../src/gen/homeostat/energy/v1/proof_service_pb.ts';
import { describeOnStores } from '../../support/stores.ts';
import { FORECAST_ID, forecastOf, useProofSuite } from './support/proof-suite.ts';
import { STREAM } from './support/proof-world.ts';

const SIDE = 16;
/** Stripes about 1 J a cell, whose entropy falls as they part. */
const stripes = (size: number, total = SIDE * SIDE) => ({
  rows: SIDE,
  cols: SIDE,
  values: Array.from(
    { length: SIDE * SIDE },
    (_, at) => (total / SIDE / SIDE) * (1 + (at % 2 === 0 ? size : -size)),
  ),
});
const before = stripes(0.25);
/** Ten joules more, and an entropy 8 standard errors lower. */
const driven = stripes(0.8, SIDE * SIDE + 10);
/** Ten joules less, and that entropy. */
const damped = stripes(0.8, SIDE * SIDE - 10);

const { CONSERVATIVE, DISSIPATIVE, DRIVEN, UNSPECIFIED } = BudgetMode;
const { PASS, FAIL, NOT_APPLICABLE } = ProofCheckOutcome;

describeOnStores('the rule of a budget', (engine) => {
  const suite = useProofSuite(engine);

  /** What became of a claim about a stream of that mode, and of a prediction that came true. */
  async function judged(budgetMode: BudgetMode, grid: typeof before, budget: object) {
    const world = await suite.open({ budgetMode });
    const context = () => world.context({ stream: STREAM, budget: { before, ...budget } });
    const proofs = [
      await world.as('ada').claim(world.claim({ map: { grid: fresh(grid) }, context: context() })),
      await world
        .as('ada')
        .predict(world.prediction({ observed: { grid: fresh(grid) }, predicted: grid, context: context() })),
    ];
    return proofs.map(({ verdict, checks }) => {
      const outcomeOf = (kind: ProofCheckKind) => checks.find((check) => check.kind === kind)!.outcome;
      return [verdict, outcomeOf(ProofCheckKind.ENERGY_BUDGET), outcomeOf(ProofCheckKind.ENTROPY_PRODUCTION)];
    });
  }
  let shown = 0;
  /** The same but for a trifle: what was verified before is refused. */
  const fresh = ({ values, ...grid }: typeof before) => {
    shown++;
    return { ...grid, values: values.map((value, at) => (at === 0 ? value + 1e-5 * shown : value)) };
  };
  const both = (verdict: ProofVerdict, budget: ProofCheckOutcome, entropy: ProofCheckOutcome) => [
    [verdict, budget, entropy],
    [verdict, budget, entropy],
  ];

  test('energy.conservation driven and dissipative streams are never judged as closed ones', async () => {
    expect(await judged(DRIVEN, driven, { sourcesWatts: 5, dtSeconds: 2 })).toEqual(
      both(ProofVerdict.VERIFIED, PASS, NOT_APPLICABLE),
    );
    expect(await judged(DISSIPATIVE, damped, {})).toEqual(both(ProofVerdict.VERIFIED, PASS, NOT_APPLICABLE));
    // What their own rules forbid is refuted all the same.
    expect(await judged(DRIVEN, driven, {})).toEqual(both(ProofVerdict.REFUTED, FAIL, NOT_APPLICABLE));
    expect(await judged(DISSIPATIVE, driven, {})).toEqual(both(ProofVerdict.REFUTED, FAIL, NOT_APPLICABLE));
  });

  test('energy.conservation a conservative stream, and one that promises nothing, are judged as closed ones', async () => {
    for (const mode of [CONSERVATIVE, UNSPECIFIED]) {
      expect(await judged(mode, damped, {})).toEqual(both(ProofVerdict.REFUTED, FAIL, FAIL));
      expect(await judged(mode, stripes(0.8), {})).toEqual(both(ProofVerdict.INCONCLUSIVE, PASS, FAIL));
    }
    // A mode of its own is what a budget goes by where the stream has none.
    expect(await judged(UNSPECIFIED, damped, { mode: DISSIPATIVE })).toEqual(
      both(ProofVerdict.VERIFIED, PASS, NOT_APPLICABLE),
    );
  });

  test('energy.conservation a forecast of a stream is judged by the rule of that stream', async () => {
    for (const [budgetMode, outcome] of [
      [DISSIPATIVE, PASS],
      [CONSERVATIVE, FAIL],
    ] as const) {
      const prediction = Float32Array.from(damped.values);
      const forecast = { ...forecastOf(suite.clock), rows: SIDE, cols: SIDE, prediction };
      const bounds = {
        lower: prediction.map((value) => value - 1),
        upper: prediction.map((value) => value + 1),
      };
      const world = await suite.open({ budgetMode, forecasts: [{ ...forecast, ...bounds }] });
      const { predicted: _, ...request } = world.prediction({
        forecastId: FORECAST_ID,
        observed: { grid: fresh(damped) },
        context: world.context({ budget: { before } }),
      });
      const { checks } = await world.as('ada').predict(request);
      expect(checks[0]).toMatchObject({ kind: ProofCheckKind.ENERGY_BUDGET, outcome });
    }
  });

  test("energy.conservation a mode that is not the stream's is refused, and nothing is left behind", async () => {
    const modes = [CONSERVATIVE, DISSIPATIVE, DRIVEN];
    for (const budgetMode of modes)
      for (const mode of modes.filter((each) => each !== budgetMode)) {
        const world = await suite.open({ budgetMode });
        const context = () => world.context({ stream: STREAM, budget: { before, mode } });
        await suite.unchanged(async () => {
          for (const refused of [
            world.as('ada').claim(world.claim({ map: { grid: damped }, context: context() })),
            world
              .as('ada')
              .predict(
                world.prediction({ observed: { grid: damped }, predicted: damped, context: context() }),
              ),
          ])
            await expect(refused).rejects.toMatchObject({
              kind: 'INVALID_ARGUMENT',
              violations: [{ field: 'context.budget.mode' }],
            });
        });
      }
    // Said of no stream, or saying the same, it stands.
    const world = await suite.open({ budgetMode: DRIVEN });
    for (const context of [
      world.context({ budget: { before, mode: DISSIPATIVE } }),
      world.context({ stream: STREAM, budget: { before, mode: DRIVEN, sinksWatts: 10 } }),
    ])
      expect(
        (await world.as('ada').claim(world.claim({ map: { grid: fresh(damped) }, context }))).checks[0],
      ).toMatchObject({
        outcome: PASS,
      });
  });

  test('energy.conservation powers of a conservative stream are refused, whatever the budget leaves unsaid', async () => {
    const world = await suite.open({ budgetMode: CONSERVATIVE });
    for (const [power, field] of [
      [{ sourcesWatts: 1 }, 'sources_watts'],
      [{ sinksWatts: 1 }, 'sinks_watts'],
      [{ boundaryFluxWatts: -1 }, 'boundary_flux_watts'],
    ] as const)
      await expect(
        world.as('ada').claim(
          world.claim({
            map: { grid: driven },
            context: world.context({ stream: STREAM, budget: { before, ...power } }),
          }),
        ),
      ).rejects.toMatchObject({ violations: [{ field: `context.budget.${field}` }] });
  });
});
