/**
 * What a check says: one sentence with its figure, how grave it is, and for anything but OK what to do about it. Checks
 * are named `<group>.<what>`; the names are stable, for programs that read `--json`.
 */

/** WARNING: works now, and should be looked at. PROBLEM: the server cannot start, does not work, or is not safe. */
export type Severity = 'OK' | 'WARNING' | 'PROBLEM';

export type Finding =
  | { readonly check: string; readonly severity: 'OK'; readonly found: string }
  | {
      readonly check: string;
      readonly severity: 'WARNING' | 'PROBLEM';
      readonly found: string;
      /** A command to paste, or a sentence that says what to do. */
      readonly remedy: string;
    };

export function ok(check: string, found: string): Finding {
  return { check, severity: 'OK', found };
}

export function warning(check: string, found: string, remedy: string): Finding {
  return { check, severity: 'WARNING', found, remedy };
}

export function problem(check: string, found: string, remedy: string): Finding {
  return { check, severity: 'PROBLEM', found, remedy };
}

/** The gravest of them; OK when there are none. */
export function worst(findings: readonly Finding[]): Severity {
  if (findings.some(({ severity }) => severity === 'PROBLEM')) return 'PROBLEM';
  return findings.some(({ severity }) => severity === 'WARNING') ? 'WARNING' : 'OK';
}

const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];

/** A size for people: `1.5 GiB`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${UNITS[unit]}`;
}
