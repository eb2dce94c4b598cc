/**
 * Shows the live view: on a terminal it takes the whole screen, redraws it ten times a second and gives it back as it
 * was; elsewhere it prints what happens, and a line of figures every two seconds.
 */
import type { Terminal } from './command.ts';
import { LEVEL_NAMES, type LiveState, riskName } from './live-state.ts';
import { renderFrame } from './live-view.ts';

const FRAME_MS = 100;
const LINE_MS = 2_000;
/** Alternate screen on, cursor off; and back. */
const ENTER = '\x1b[?1049h\x1b[?25l\x1b[2J';
const LEAVE = '\x1b[?25h\x1b[?1049l';
const HOME = '\x1b[H';

export interface Screen {
  /** Something happened; shown in the log of the live view, else printed. `minor` things are not printed. */
  tell(text: string, minor?: boolean): void;
  /** Gives the terminal back. Harmless when repeated. */
  close(): void;
}

/** `look` is asked for the state at each redraw; the log is the screen's own. */
export function openScreen({ clock, out }: Terminal, look: () => Omit<LiveState, 'log'>): Screen {
  const log: string[] = [];
  const live = out.isTTY === true;
  if (live) out.write(ENTER);
  const draw = () => {
    const frame = renderFrame(
      { ...look(), log },
      out.columns ?? 80,
      out.rows ?? 24,
      out.hasColors?.() ?? true,
    );
    out.write(HOME + frame);
  };
  const timer = live
    ? clock.every(FRAME_MS, draw)
    : clock.every(LINE_MS, () => out.write(`${statusLine(look())}\n`));
  let open = true;
  return {
    tell(text, minor = false) {
      log.push(text);
      if (log.length > 200) log.shift();
      if (!live && !minor) out.write(`${text}\n`);
    },
    close() {
      if (!open) return;
      open = false;
      timer.cancel();
      if (live) out.write(LEAVE);
    },
  };
}

/** The state in one line, for logs. */
export function statusLine(state: Omit<LiveState, 'log'>): string {
  const time = new Date(state.eventTimeMs).toISOString().slice(0, 19);
  const energy = state.series.find(({ name }) => name.startsWith('energy'))?.values.at(-1);
  return [
    `${time}Z ${state.part}`,
    `level ${state.level} ${LEVEL_NAMES[state.level] ?? ''}`,
    `risk ${riskName(state.risk.severity)}`,
    `utilization ${state.utilization?.toFixed(2) ?? 'unknown'}`,
    `maps ${state.mapCount}`,
    `energy ${energy?.toFixed(1) ?? 'unknown'}`,
    `sessions ${state.sessions.created} created ${state.sessions.refused} refused`,
    `samples ${state.telemetry.accepted} accepted`,
  ].join('  ');
}
