/** A canceled call frees its worker: the only one there is, at work that would outlast the test by far. */
import { expect, test } from '@jest/globals';
import { ImputeMethod, SamplerKind } from '../../src/gen/homeostat/diffusion/v1/diffusion_service_pb.ts';
import { useDiffusionSuite } from './diffusion-suite.ts';

const suite = useDiffusionSuite();

const LARGE = { rows: 1024, cols: 1024 };
const spec = { ...LARGE, samples: 2, numInferenceSteps: 1000, sampler: SamplerKind.DDPM, seed: 1n };
const quartic = { case: 'ginzburgLandau', value: { tension: 1, mass: -1, quartic: 1 } };
const particles = {
  rows: 256,
  cols: 256,
  numInferenceSteps: 500,
  guidance: [{ functional: quartic }],
  seed: 1n,
};
const map = {
  grid: { ...LARGE, rawValues: new Uint8Array(4 * 1024 * 1024) },
  observed: new Uint8Array(128 * 1024).fill(0x55),
};
const guided = { map, method: ImputeMethod.GUIDED, numInferenceSteps: 38, seed: 1n };

/** Each is work of minutes. */
test.each([
  ['Sample', 'sample', { spec }],
  ['Sample by particles', 'sample', { spec: particles }],
  ['SampleStream', 'sampleStream', { spec, every: 1000 }],
  ['Impute', 'impute', guided],
  [
    'Optimize',
    'optimize',
    { ...LARGE, objective: [{ functional: quartic }], tolerance: 1e-12, iterations: 600 },
  ],
] as const)('%s', async (_what, name, request) => {
  const small = { spec: { rows: 2, cols: 2, seed: 1n } };
  const before = await suite.world.ask('sample', small); // There is a thread.
  const canceled = new AbortController();
  const answer = suite.world.ask(name, request, canceled.signal);
  await new Promise(setImmediate); // By now it is at work.
  const reason = new Error('gone');
  canceled.abort(reason);
  await expect(answer).rejects.toBe(reason);
  expect(await suite.world.ask('sample', small)).toEqual(before);
});
