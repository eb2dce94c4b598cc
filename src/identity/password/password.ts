/**
 * Passwords: which ones are good enough, and what a stored one is worth. A password is compared and stored in Unicode
 * normalization form KC, so that it does not matter how a keyboard composes its characters. A one-time password is good
 * for one login and, until its time is over, as the current password when it is replaced. Times are wall milliseconds.
 */

/** Characters (code points) of a password, in normalization form KC. */
export const PASSWORD_LENGTH_MIN = 12;
export const PASSWORD_LENGTH_MAX = 128;

/** How long a one-time password is good. */
export const ONE_TIME_MS = 15 * 60_000;

/** What is stored of a password. */
export interface StoredPassword {
  /** argon2id in the PHC string format; holds its own parameters and salt. */
  readonly hash: string;
  /** Undefined for a password that its owner chose. */
  readonly oneTime: OneTime | undefined;
}

export interface OneTime {
  readonly untilMs: number;
  /** Whether somebody has logged in with it. */
  readonly spent: boolean;
}

/** The form in which a password is judged, hashed and compared. */
export function normalizePassword(text: string): string {
  return text.normalize('NFKC');
}

/** The rule that a new password, in its normal form, breaks, as WEAK_PASSWORD says it; undefined for a good one. */
export function passwordFault(password: string, username: string): string | undefined {
  const length = [...password].length;
  if (length < PASSWORD_LENGTH_MIN) return `must have at least ${PASSWORD_LENGTH_MIN} characters`;
  if (length > PASSWORD_LENGTH_MAX) return `must have at most ${PASSWORD_LENGTH_MAX} characters`;
  if (username !== '' && password.toLowerCase().includes(username.toLowerCase()))
    return 'must not contain the username';
  return undefined;
}

/** Whether one may log in with it now. */
export function maySignIn({ oneTime }: StoredPassword, nowMs: number): boolean {
  return oneTime === undefined || (!oneTime.spent && nowMs < oneTime.untilMs);
}

/** Whether it may be replaced by who knows it now. */
export function mayBeReplaced({ oneTime }: StoredPassword, nowMs: number): boolean {
  return oneTime === undefined || nowMs < oneTime.untilMs;
}
