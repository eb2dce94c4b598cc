// A warm spot of 32x32 cells that spreads, wanders and fades: 40 maps of it, and the question what comes next, as a
// PredictRequest in JSON.
const side = 32;
const map = (step) => {
  const [row, col] = [12 + 0.1 * step, 10 + 0.15 * step];
  const spread = 9 + 0.4 * step;
  return Array.from({ length: side * side }, (_, cell) => {
    const away = (Math.floor(cell / side) - row) ** 2 + ((cell % side) - col) ** 2;
    return Math.round(1e4 * (1 + (900 / spread) * Math.exp(-away / (2 * spread)))) / 1e4;
  });
};
const grid = (step) => ({ rows: side, cols: side, values: map(step) });
console.log(
  JSON.stringify({
    map: { grid: grid(39) },
    history: Array.from({ length: 39 }, (_, step) => grid(step)),
    steps: 1,
  }),
);
