/** How posteriors did on labeled samples, every label counting alike. */
export interface Judged {
  /** Place of the true regime. */
  readonly label: number;
  /** Of the four regimes. */
  readonly posterior: readonly number[];
}

export interface Verdict {
  readonly count: number;
  /** Of each true regime: how often each was the likeliest. */
  readonly confusion: readonly (readonly number[])[];
  /** Mean over regimes of the share told right. */
  readonly balancedAccuracy: number;
  /** Mean squared distance of posteriors from the truth, 0..2, of which half is Brier's score of a yes-or-no question. */
  readonly brier: number;
  /** Mean |share right - stated probability| of the likeliest regime, over ten even bins by their samples. */
  readonly calibrationError: number;
}

const BINS = 10;

export function verdictOf(samples: readonly Judged[], regimes: number): Verdict {
  const confusion = Array.from({ length: regimes }, () => new Array<number>(regimes).fill(0));
  const bins = Array.from({ length: BINS }, () => ({ weight: 0, right: 0, stated: 0 }));
  const totals = Array.from({ length: regimes }, (_, k) => samples.filter(({ label }) => label === k).length);
  let brier = 0;
  for (const { label, posterior } of samples) {
    const weight = 1 / (regimes * totals[label]!);
    const greatest = Math.max(...posterior);
    const told = posterior.indexOf(greatest);
    confusion[label]![told] = confusion[label]![told]! + 1;
    brier += weight * posterior.reduce((sum, p, k) => sum + (p - (k === label ? 1 : 0)) ** 2, 0);
    const bin = bins[Math.min(BINS - 1, Math.floor(greatest * BINS))]!;
    bin.weight += weight;
    bin.right += told === label ? weight : 0;
    bin.stated += weight * greatest;
  }
  return {
    count: samples.length,
    confusion,
    balancedAccuracy:
      confusion.reduce((sum, row, k) => sum + (totals[k]! > 0 ? row[k]! / totals[k]! : 0), 0) / regimes,
    brier,
    calibrationError: bins.reduce((sum, { right, stated }) => sum + Math.abs(right - stated), 0),
  };
}
