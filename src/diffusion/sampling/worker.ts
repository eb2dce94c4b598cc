/**
 * Sampling as a worker thread runs it. Every task is pure, and noise is by counter, so neither the number of threads nor
 * how samples are dealt out to them changes a bit of any result.
 */
import { createDenoiser } from '../prior/denoiser.ts';
import { drawMixtureAt, logJoint, logSumExp, mixtureOf } from '../prior/mixture.ts';
import { createSpectralGrid, type Modes } from '../prior/modes.ts';
import type { Prior } from '../prior/prior.ts';
import { type GuidanceFault, type Guide, guidedMixture } from './guidance.ts';
import { descend } from './particles.ts';
import { targetOf } from './residual.ts';
import { type Chain, createSampler, type Recipe, type Sampler } from './sampler.ts';
import type { ParticleJob } from './spec.ts';

/** What a thread loads for the tasks of sampling. */
export const samplingModule = new URL(import.meta.url);

/** The maps in question; without a prior the STANDARD one. */
export interface Place {
  readonly rows: number;
  readonly cols: number;
  readonly prior: Prior | undefined;
}

/** How maps are drawn. */
export interface SamplingJob extends Place {
  readonly guides: readonly Guide[];
  readonly temperature: number;
  readonly recipe: Recipe;
  /** Whether a chain starts from the prior as it is at the noisiest level, guided, instead of from white noise. */
  readonly exactTerminal: boolean;
}

/** A map drawn. */
export interface Drawn {
  readonly cells: Float32Array;
  /** Sum of the cells. */
  readonly total: number;
  /** ln density it was drawn from, nats; undefined where a mode is pinned. */
  readonly logLikelihood: number | undefined;
}

/** A chain after some steps: where it goes on, its map as it stands, and the sample when it has ended. */
export interface Advanced {
  readonly chain: Chain;
  readonly cells: Float32Array;
  readonly drawn: Drawn | undefined;
}

/** What particles drew. */
export interface ParticleDraws {
  readonly drawn: readonly Drawn[];
  readonly minEffective: number;
  readonly finalEffective: number;
  readonly logNormalizer: number;
}

/** A density that there is not. */
export interface Faulted {
  readonly fault: GuidanceFault;
}

interface OpenSampler {
  readonly sampler: Sampler;
  readonly begin: (sample: number) => Chain;
  readonly draw: (chain: Chain) => Drawn;
}

function openSampler({
  rows,
  cols,
  prior,
  guides,
  temperature,
  recipe,
  exactTerminal,
}: SamplingJob): OpenSampler | Faulted {
  const grid = createSpectralGrid(rows, cols);
  const mixture = guidedMixture(grid, mixtureOf(grid, prior), guides, temperature);
  if (typeof mixture === 'string') return { fault: mixture };
  const sampler = createSampler(grid, createDenoiser(grid, mixture), recipe);
  const start = exactTerminal
    ? (noise: Modes, sample: number) =>
        drawMixtureAt(grid, mixture, recipe.levels[0]!, recipe.seed, sample, noise)
    : undefined;
  const cells = new Float64Array(grid.cells);
  const isPinned = mixture.components.some(({ power }) => power.includes(0));
  const draw = ({ x }: Chain): Drawn => {
    grid.back(x, cells);
    return {
      cells: new Float32Array(cells),
      total: x.re[0]!,
      logLikelihood: isPinned ? undefined : logSumExp(logJoint(grid, mixture, 1, 0, x)),
    };
  };
  return { sampler, draw, begin: (sample) => sampler.begin(sample, start) };
}

/** The task: samples `from` .. `until` - 1. */
export function runSamples({
  job,
  from,
  until,
}: {
  job: SamplingJob;
  from: number;
  until: number;
}): Drawn[] | Faulted {
  const opened = openSampler(job);
  if ('fault' in opened) return opened;
  const { sampler, begin, draw } = opened;
  return Array.from({ length: until - from }, (_, index) => {
    const chain = begin(from + index);
    sampler.advance(chain, sampler.steps);
    return draw(chain);
  });
}

/** The task: some steps of one chain. */
export function runChain({
  job,
  from,
  steps,
}: {
  job: SamplingJob;
  from: Chain | number;
  steps: number;
}): Advanced | Faulted {
  const opened = openSampler(job);
  if ('fault' in opened) return opened;
  const { sampler, begin, draw } = opened;
  const chain = typeof from === 'number' ? begin(from) : from;
  sampler.advance(chain, steps);
  const drawn = draw(chain);
  return { chain, cells: drawn.cells, drawn: chain.step === sampler.steps ? drawn : undefined };
}

/** The task: a swarm of particles, and samples picked from it. */
export function runParticles({
  job,
  particles,
  count,
}: {
  job: SamplingJob;
  particles: ParticleJob;
  count: number;
}): ParticleDraws | Faulted {
  const { guides, temperature, recipe } = job;
  const grid = createSpectralGrid(job.rows, job.cols);
  const prior = mixtureOf(grid, job.prior);
  const target = targetOf(grid, prior, guides, temperature, particles.quartic, particles.spectra);
  if (typeof target === 'string') return { fault: target };
  const { pick, ...report } = descend(grid, target, { ...recipe, particles: particles.count });
  const cells = new Float64Array(grid.cells);
  const drawn = Array.from({ length: count }, (_, sample) => {
    const x = pick(sample);
    grid.back(x, cells);
    return { cells: new Float32Array(cells), total: x.re[0]!, logLikelihood: undefined };
  });
  return { ...report, drawn };
}
