/** Progress of a long command on standard error: one line that redraws itself on a terminal, else a line now and then. */
import type { Terminal } from './command.ts';

const TERMINAL_MS = 100;
const PLAIN_MS = 5_000;

export interface Progress {
  /** Shows a line if it is time; the text is only made then. */
  show(text: () => string): void;
  /** Ends the line that redraws itself. */
  end(): void;
}

export function createProgress({ clock, err }: Terminal): Progress {
  const intervalMs = err.isTTY ? TERMINAL_MS : PLAIN_MS;
  let shownMs = clock.monotonicMs() - (err.isTTY ? TERMINAL_MS : 0);
  let drawn = false;
  return {
    show(text) {
      const nowMs = clock.monotonicMs();
      if (nowMs - shownMs < intervalMs) return;
      shownMs = nowMs;
      drawn = true;
      err.write(err.isTTY ? `\r\x1b[K${text()}` : `${text()}\n`);
    },
    end() {
      if (drawn && err.isTTY) err.write('\r\x1b[K');
      drawn = false;
    },
  };
}
