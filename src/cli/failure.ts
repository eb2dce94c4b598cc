/** How a command ends when it cannot do what it was asked: one clear sentence on standard error and an exit code. */

/** 0 done, 1 failed or refuted, 2 unusable input. */
export type ExitCode = 0 | 1 | 2;

/** Ends a command; the message is for people, without a stack. */
export class CliFailure extends Error {
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'CliFailure';
    this.exitCode = exitCode;
  }
}

/** What was given cannot be used: exit code 2. */
export function unusable(message: string, cause?: unknown): CliFailure {
  return new CliFailure(2, message, cause);
}
