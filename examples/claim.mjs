// A map of 16x16 cells that are restless but settled, claimed to be in equilibrium, as a ProveClaimRequest in JSON.
import { randomBytes } from 'node:crypto';

let state = 42;
const uniform = () => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 32;
};
const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
const values = Array.from({ length: 256 }, () => Math.round(1e3 * (120 + 8 * normal())) / 1e3);
console.log(
  JSON.stringify({
    idempotencyKey: randomBytes(8).toString('hex'),
    map: { grid: { rows: 16, cols: 16, values } },
    claimedRegime: 'REGIME_EQUILIBRIUM',
    context: {
      capturedAt: new Date().toISOString(),
      claimedTotal: values.reduce((sum, value) => sum + value, 0),
      nonce: randomBytes(16).toString('base64'),
    },
  }),
);
