/** Figures for people, as a table of Markdown, and for programs, as JSON. */
import { type Figure, type Verdict, verdictOf } from './figure.ts';

/** What one set gave. */
export interface SetResult {
  readonly name: string;
  readonly measures: string;
  readonly figures: readonly Figure[];
}

/** Whether no figure of a set lies under its target, and there is any figure at all. */
export function isMet({ figures }: SetResult): boolean {
  return figures.length > 0 && figures.every((figure) => verdictOf(figure) !== 'MISSED');
}

const VERDICTS: Readonly<Record<Verdict, string>> = { MET: 'met', MISSED: 'MISSED', REPORTED: '' };

export function renderTable({ name, measures, figures }: SetResult): string {
  const rows = figures.map((figure) => {
    const baselines = Object.entries(figure.baselines).map(([method, value]) => `${method} ${format(value)}`);
    const { low, high } = figure.interval ?? {};
    const interval =
      low === undefined || high === undefined ? '' : ` (${low.toPrecision(3)}..${high.toPrecision(3)})`;
    const bound = figure.better === 'HIGHER' ? '>=' : '<=';
    return [
      figure.metric.replaceAll('|', '\\|'),
      baselines.join(', '),
      format(figure.ours) + interval,
      figure.target === undefined ? '' : `${bound} ${format(figure.target)}`,
      VERDICTS[verdictOf(figure)],
    ];
  });
  const table = [['metric', 'baselines', 'ours', 'target', 'verdict'], ...rows];
  const widths = table[0]!.map((_, column) => Math.max(3, ...table.map((row) => row[column]!.length)));
  const lines = table.map(
    (row) => `| ${row.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`,
  );
  lines.splice(1, 0, `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`);
  return `## ${name}: ${measures}\n\n${lines.join('\n')}\n`;
}

/** All results with their verdicts. Numbers that are not finite become null. */
export function renderJson(results: readonly SetResult[]): string {
  const sets = results.map((result) => ({
    ...result,
    met: isMet(result),
    figures: result.figures.map((figure) => ({ ...figure, verdict: verdictOf(figure) })),
  }));
  return `${JSON.stringify({ sets }, null, 2)}\n`;
}

/** A number for people: counts whole, others with three decimals, small ones with three digits. */
function format(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (Number.isInteger(value)) return value.toLocaleString('en-US');
  if (Math.abs(value) >= 1_000) return Math.round(value).toLocaleString('en-US');
  if (Math.abs(value) >= 100) return value.toFixed(1);
  return Math.abs(value) >= 0.01 ? value.toFixed(3) : value.toExponential(2);
}
