/**
 * How often claims are VERIFIED that are true, and that are not. Honest claims say of the next map of a settled stream
 * what its tracker says; a stream is settled once its label has stood, and been more probable than not, for 16 windows
 * before that map. A forger knows all that, makes up the map or the regime, and puts everything said of the map right
 * again: total, entropy and digest, but not what the instrument has signed. Of maps that nobody signed only those are
 * judged that do not keep the total of a closed stream: one that does is held to its slopes alone, which on small maps even
 * a shuffled one has.
 */
import { createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { type Field, noisy } from '../../../bench/fields/field.ts';
import { CRITICAL_TEMPERATURE, isingField } from '../../../bench/fields/ising.ts';
import { logisticField } from '../../../bench/fields/logistic.ts';
import { type FieldMap, nextMap } from '../../../bench/fields/samples.ts';
import {
  gaussianField,
  onBackground,
  physicalFleet,
  statisticalFleet,
} from '../../../bench/fields/stationary.ts';
import { gridDigest } from '../../../src/energy/map/digest.ts';
import { judged } from '../../../src/energy/proof/check.ts';
import { createInstruments, type Evidence, measureSteps } from '../../../src/energy/proof/measure.ts';
import { type Conclusion, conclude } from '../../../src/energy/proof/proof.ts';
import { judgeOrigin, type Origin, type SubmitterSignature } from '../../../src/energy/proof/provenance.ts';
import type { RegimeMap } from '../../../src/energy/regime/observation.ts';
import { JUDGED, REGIMES, type RegimeName } from '../../../src/energy/regime/regime.ts';
import { REGIME_DEFAULTS, RegimeTracker } from '../../../src/energy/regime/regime-tracker.ts';
import { ProofVerdict } from '../../../src/gen/homeostat/energy/v1/proof_service_pb.ts';
import { runThrough } from '../../../src/numeric/slices.ts';
import { createRandom, type Random } from '../../../src/random.ts';
import { createFakeClock } from '../../support/fake-clock.ts';
import { openTestStore } from '../../support/stores.ts';
import { alike, anyOrder, CELLS, held, SIDE, white } from './support/fields.ts';
import { createProofWorld, migrations, STREAM } from './support/proof-world.ts';

const NOW_MS = Date.UTC(2026, 0, 2);
const SHAPE = { rows: SIDE, cols: SIDE };
/** Windows a stream learns first, and those of which some are claimed. */
const [LEARNED, JUDGED_WINDOWS] = [64, 112];
const SETTLED = 16;
const SEEDS = [1, 2];
const random = createRandom(2027);
const instruments = createInstruments();
const orders = Array.from({ length: 100 }, () => anyOrder(random));
const noises = Array.from({ length: 100 }, () => white(random));
const anyOf = <Item>(items: readonly Item[]) => items[random.below(items.length)]!;

/** The field with one total throughout, at 10 a cell. */
function closed(field: Field): Field {
  return {
    ...field,
    next() {
      const cells = field.next();
      const mean = cells.reduce((sum, value) => sum + value, 0) / cells.length;
      return cells.map((value) => 10 + value - mean);
    },
  };
}

const gaussian = (memory: number, smoothing: number, from: Random) =>
  gaussianField({ ...SHAPE, memory, smoothing }, from);
/** Streams, and whether they keep their total. */
const STREAMS: Readonly<
  Record<string, { readonly isClosed?: true; readonly make: (from: Random) => Field }>
> = {
  'closed, smooth and slow': { isClosed: true, make: (from) => closed(gaussian(0.8, 8, from)) },
  'closed and smooth': { isClosed: true, make: (from) => closed(gaussian(0.6, 6, from)) },
  'a background': { make: (from) => onBackground(gaussian(0.6, 1, from), 2, from) },
  'white noise': { make: (from) => gaussian(0, 0, from) },
  'a statistical fleet': { make: (from) => statisticalFleet(SHAPE, from) },
  'a physical fleet': { make: (from) => physicalFleet(SHAPE, from) },
  'a chaotic lattice': {
    make: (from) => noisy(logisticField({ ...SHAPE, growth: 3.9, coupling: 0.2 }, from), 0.01, from),
  },
  'critical spins': {
    make: (from) =>
      noisy(
        isingField({ side: SIDE, temperature: CRITICAL_TEMPERATURE, sweeps: 2, block: 1 }, from),
        0.05,
        from,
      ),
  },
};

/** RFC 8032, section 7.1, test 1. */
const KEY = createPrivateKey({
  key: Buffer.from(
    '302e020100300506032b6570042204209d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
    'hex',
  ),
  format: 'der',
  type: 'pkcs8',
});
const PUBLIC_KEY = createPublicKey(KEY).export({ format: 'der', type: 'spki' }).subarray(-32);
const NONCE = new Uint8Array(16);

/** The instrument's word for a map. */
function signed(cells: Float64Array): SubmitterSignature {
  const digest = gridDigest(new Float32Array(cells), SIDE, SIDE);
  const message = Buffer.concat([Buffer.from('homeostat.observation.v1\0'), digest, NONCE]);
  return { publicKey: PUBLIC_KEY, signature: sign(null, message, KEY) };
}

/** A map with what is said of it. */
interface Claim {
  readonly map: FieldMap;
  /** The map before, of a stream that keeps its total. */
  readonly before: Float64Array | undefined;
  /** Of the regime claimed. */
  readonly probability: number;
  readonly signature?: SubmitterSignature;
}

function prove({ map, before, probability, signature }: Claim, over: Partial<Origin> = {}): Conclusion {
  const { cells } = map;
  const digest = gridDigest(new Float32Array(cells), SIDE, SIDE);
  const evidence: Evidence = {
    observed: { ...SHAPE, cells, observed: undefined, cellArea: 1, spacing: 1, boundary: map.boundary },
    probability,
    claimedTotal: map.net,
    claimedEntropy: map.spatialEntropy,
    budget: before && {
      before,
      rule: 'CONSERVATIVE',
      dt: 1,
      sources: 0,
      sinks: 0,
      boundaryFlux: undefined,
      flows: undefined,
    },
  };
  const { checks, faults } = runThrough(measureSteps(evidence, instruments));
  const origin: Origin = {
    digest,
    claimedDigest: digest,
    nonce: NONCE,
    signature,
    capturedAtMs: NOW_MS,
    target: undefined,
    stream: { domain: 'plant', cluster: 'a' },
    parentProofId: undefined,
    faults,
    ...over,
  };
  return conclude('CLAIM', [...checks, judged('PROVENANCE', judgeOrigin(origin, undefined, NOW_MS))]);
}

/** What became of proofs of one kind. */
class Tally {
  readonly proofs: Conclusion[] = [];

  add(proof: Conclusion): void {
    this.proofs.push(proof);
  }

  get count(): number {
    return this.proofs.length;
  }

  /** The share that is. */
  get verified(): number {
    return this.proofs.filter(({ verdict }) => verdict === 'VERIFIED').length / this.count;
  }

  /** The mean one. */
  get quality(): number {
    return this.proofs.reduce((sum, { quality }) => sum + quality, 0) / this.count;
  }
}

/** Another map in the place of one, of which everything that is measured is measured anew. */
function forgedMap({ map }: Claim, cells: Float64Array): FieldMap {
  const field: Field = { ...SHAPE, boundary: map.boundary, next: () => held(cells) };
  return { ...nextMap(field, 0), startMs: map.startMs };
}

describe('claims', () => {
  const honest = new Map<string, Tally>();
  const forged = new Map<string, Tally>();
  const tallyOf = (all: Map<string, Tally>, name: string) => {
    const tally = all.get(name) ?? new Tally();
    all.set(name, tally);
    return tally;
  };

  /** Forges one claim in every way. `judge` says how probable the regime claimed is of a map as if it came next. */
  function forge(claim: Claim, label: RegimeName, judge: (map: RegimeMap) => readonly number[]): void {
    const { cells } = claim.map;
    const posterior = judge(claim.map);
    for (const [at, probability] of posterior.slice(0, JUDGED).entries())
      if (REGIMES[at] !== label) tallyOf(forged, 'another regime').add(prove({ ...claim, probability }));
    const makes: Readonly<Record<string, Float64Array>> = {
      scaled: scaled(cells),
      shuffled: shuffled(cells),
      'noise of the same mean and spread': alike(cells, anyOf(noises)),
      edited: edited(cells),
    };
    const breaking = ['scaled', 'edited'];
    for (const [name, made] of Object.entries(makes)) {
      const map = forgedMap(claim, made);
      const probability = judge(map)[REGIMES.indexOf(label)]!;
      tallyOf(forged, `${name}, signed before`).add(prove({ ...claim, map, probability }));
      if (claim.before && breaking.includes(name)) {
        const { signature: _, ...unsigned } = claim;
        tallyOf(forged, `${name}, never signed, of a closed stream`).add(
          prove({ ...unsigned, map, probability }),
        );
      }
    }
    const claimedDigest = gridDigest(new Float32Array(shuffled(cells)), SIDE, SIDE);
    tallyOf(forged, 'under the digest of another map').add(prove(claim, { claimedDigest }));
    tallyOf(forged, 'of another time').add(prove(claim, { capturedAtMs: NOW_MS - 90_000_000 }));
  }

  beforeAll(() => {
    for (const [name, { isClosed, make }] of Object.entries(STREAMS))
      for (const seed of SEEDS) {
        const field = make(createRandom(seed, 31));
        const tracker = new RegimeTracker(REGIME_DEFAULTS);
        let before: Float64Array | undefined;
        let stood = 0;
        for (let at = 0; at < LEARNED; at++) {
          const map = nextMap(field, at);
          runThrough(tracker.learn(map));
          before = map.cells;
        }
        for (let at = LEARNED; at < LEARNED + JUDGED_WINDOWS; at++) {
          const map = nextMap(field, at);
          const label = tracker.latest.label;
          const judge = (next: RegimeMap) => runThrough(tracker.judge([next])).posterior;
          if (stood >= SETTLED) {
            const probability = judge(map)[REGIMES.indexOf(label)]!;
            const claim = { map, before: isClosed && before, probability, signature: signed(map.cells) };
            tallyOf(honest, name).add(prove(claim));
            if (at % 3 === 0) forge(claim, label, judge);
          }
          const { posterior, label: next } = runThrough(tracker.fold(map));
          stood = next === label && posterior[REGIMES.indexOf(label)]! > 0.5 ? stood + 1 : 0;
          before = map.cells;
        }
      }
  }, 120_000);

  test('energy.proof at least 99 % of honest claims are VERIFIED, with a mean quality of at least 0.93', () => {
    const all = together([...honest.values()]);
    expect(all.count).toBeGreaterThan(1_000);
    expect([...honest.keys()]).toEqual(Object.keys(STREAMS));
    expect(all.verified).toBeGreaterThanOrEqual(0.99);
    for (const [name, { quality }] of honest)
      expect({ name, good: quality >= 0.93 }).toEqual({ name, good: true });
  });

  test('energy.proof claims that are forged are VERIFIED at most once in a thousand times', () => {
    const all = together([...forged.values()]);
    expect(all.count).toBeGreaterThan(4_000);
    expect(all.verified).toBeLessThanOrEqual(0.001);
    // That another regime is the more probable one after all is the tracker's error, not the proof's: all else is none's.
    for (const [name, { verified }] of forged)
      if (name !== 'another regime') expect({ name, verified }).toEqual({ name, verified: 0 });
  });

  test('energy.proof an observation that is shown again is never VERIFIED, whoever says what of it', async () => {
    const opened = await openTestStore(migrations);
    const world = await createProofWorld({ store: opened.store, clock: createFakeClock() });
    const context = () => world.context({ stream: STREAM });
    const from = createRandom(5);
    for (let nth = 0; nth < 50; nth++) {
      const grid = { rows: 2, cols: 2, values: Array.from({ length: 4 }, () => Math.fround(from.normal())) };
      const rawValues = new Uint8Array(Float32Array.from(grid.values).buffer);
      const shown = await world.as('ada').claim(world.claim({ map: { grid }, context: context() }));
      expect(shown.verdict).toBe(ProofVerdict.VERIFIED);
      const again = { map: { grid: { ...grid, values: [], rawValues } }, context: context() };
      for (const replay of [
        world.as('ada').claim(world.claim({ map: { grid }, context: context() })),
        world.as('bob').claim(world.claim(again)),
        world.as('bob').claim(world.claim({ map: { grid, cellArea: 2 }, context: context() })),
        world
          .as('eve')
          .predict(world.prediction({ observed: { grid }, predicted: grid, context: context() })),
      ])
        await expect(replay).rejects.toMatchObject({ reason: 'OBSERVATION_REPLAYED' });
    }
    await world.close();
    await opened.dispose();
  }, 60_000);
});

function together(tallies: readonly Tally[]): Tally {
  const all = new Tally();
  for (const tally of tallies) for (const proof of tally.proofs) all.add(proof);
  return all;
}

/** By a factor of 0.5 to 0.9, or 1.1 to 2. */
function scaled(cells: Float64Array): Float64Array {
  const factor = random.uniform() < 0.5 ? 0.5 + 0.4 * random.uniform() : 1.1 + 0.9 * random.uniform();
  return cells.map((value) => factor * value);
}

function shuffled(cells: Float64Array): Float64Array {
  const order = anyOf(orders);
  return cells.map((_, at) => cells[order[at]!]!);
}

/** One cell made half as much again, or up to five times as much. */
function edited(cells: Float64Array): Float64Array {
  const at = random.below(CELLS);
  return cells.with(at, cells[at]! * (1.5 + 3.5 * random.uniform()));
}
