/** How an evaluation says that its data cannot be used. */
import { CliFailure } from '../../src/cli/failure.ts';

/** Data that is missing or not in its form: unusable input. The message is one sentence that names the file. */
export class DataError extends CliFailure {
  constructor(path: string, fault: string, cause?: unknown) {
    super(2, `${path} ${fault}`, cause);
    this.name = 'DataError';
  }
}
