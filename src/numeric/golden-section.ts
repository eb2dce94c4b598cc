/** Golden-section search (J. Kiefer, 1953). */

const GOLDEN = (Math.sqrt(5) - 1) / 2;

/**
 * Where a loss that falls and then rises between `from` and `to` is least, to 0.618^steps of what lies between; of a loss
 * with several such places one of them. One question a step, and two.
 */
export function goldenSection(loss: (x: number) => number, from: number, to: number, steps: number): number {
  let low = from;
  let high = to;
  let [left, right] = [high - GOLDEN * (high - low), low + GOLDEN * (high - low)];
  let [leftLoss, rightLoss] = [loss(left), loss(right)];
  for (let step = 0; step < steps; step++) {
    if (leftLoss <= rightLoss) {
      [high, right, rightLoss] = [right, left, leftLoss];
      left = high - GOLDEN * (high - low);
      leftLoss = loss(left);
    } else {
      [low, left, leftLoss] = [left, right, rightLoss];
      right = low + GOLDEN * (high - low);
      rightLoss = loss(right);
    }
  }
  return (low + high) / 2;
}
