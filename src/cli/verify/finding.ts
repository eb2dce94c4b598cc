/** What a check of `verify` found. */

export interface Finding {
  /** Name of the check. */
  readonly check: string;
  readonly outcome: 'ok' | 'failed' | 'absent';
  /** One sentence: what was found, and of which entry. */
  readonly detail: string;
}

export const ok = (check: string, detail: string): Finding => ({ check, outcome: 'ok', detail });
export const failed = (check: string, detail: string): Finding => ({ check, outcome: 'failed', detail });
export const absent = (check: string, detail: string): Finding => ({ check, outcome: 'absent', detail });

/** A time as people read it; beyond the year 275,760 there is no such text. */
export function instantText(ms: number): string {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? `${ms} ms` : date.toISOString();
}
