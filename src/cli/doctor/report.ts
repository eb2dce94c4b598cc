/** How findings are shown: to people in groups, gravest words in color where the terminal has them; to programs as JSON. */
import { type Finding, type Severity, worst } from './finding.ts';

const RESET = '\x1b[0m';
const BOLD = '\x1b[1m';
const STYLES: Record<Severity, string> = { OK: '\x1b[32m', WARNING: '\x1b[33m', PROBLEM: '\x1b[1;31m' };
/** Room for the longest severity and a gap. */
const COLUMN = 9;

/** Groups by the first word of the checks' names, a line per finding, its remedy below it, and the sum at the end. */
export function renderFindings(findings: readonly Finding[], colors: boolean): string {
  const paint = (style: string, text: string) => (colors ? `${style}${text}${RESET}` : text);
  const lines: string[] = [];
  let group = '';
  for (const finding of findings) {
    const of = finding.check.split('.', 1)[0]!;
    if (of !== group) lines.push(...(group === '' ? [] : ['']), paint(BOLD, of));
    group = of;
    const { severity, found } = finding;
    lines.push(`  ${paint(STYLES[severity], severity)}${' '.repeat(COLUMN - severity.length)}${found}`);
    if (finding.severity !== 'OK') lines.push(`  ${' '.repeat(COLUMN)}-> ${finding.remedy}`);
  }
  return [...lines, '', paint(STYLES[worst(findings)], summary(findings)), ''].join('\n');
}

function summary(findings: readonly Finding[]): string {
  const count = (severity: Severity) => findings.filter((one) => one.severity === severity).length;
  const plural = (number: number, word: string) => `${number} ${word}${number === 1 ? '' : 's'}`;
  return `${plural(count('PROBLEM'), 'problem')}, ${plural(count('WARNING'), 'warning')}, ${count('OK')} ok.`;
}

/** `{ status, findings: [{ check, severity, found, remedy? }] }`, where status is the gravest severity. */
export function renderJson(findings: readonly Finding[]): string {
  return `${JSON.stringify({ status: worst(findings), findings }, undefined, 2)}\n`;
}
