// Prints a request for ThermodynamicsService/AssessPhaseRisk: eight hours of a load that recovers ever more slowly from
// the same small shocks, as it would on its way to a tipping point. Always the same numbers.
const minutes = 480;
let state = 7;
const uniform = () => {
  state = (state * 48_271) % 2_147_483_647; // The minimal standard generator of Park and Miller, 1988.
  return state / 2_147_483_647;
};
const values = [];
let deviation = 0;
for (let minute = 0; minute < minutes; minute++) {
  const shock = Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  deviation = (0.3 + (0.68 * minute) / minutes) * deviation + 0.01 * shock;
  values.push(Number((0.6 + deviation).toFixed(5)));
}
console.log(JSON.stringify({ series: [{ name: 'load', interval: '60s', values, limit: 0.8 }] }));
