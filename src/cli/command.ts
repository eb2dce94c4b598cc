/**
 * What a command is: its options as one table, from which parsing, checking and `--help` follow, and the function
 * that runs it. Everything a command touches of its process arrives as `Terminal`, so that tests can hand in their own.
 */
import { parseArgs } from 'node:util';
import type { Clock } from '../clock.ts';
import { type ExitCode, unusable } from './failure.ts';

/** One option of a command. */
export interface Option {
  /** What stands for its value in the help (`<file>`); an option without one is a flag. */
  readonly value?: string;
  /** Whether it may be given several times. */
  readonly repeated?: boolean;
  readonly meaning: string;
}

export type OptionTable = Readonly<Record<string, Option>>;

/** What was given for each option: texts, a list where it is repeated, true or false for a flag. */
export type Given<Options extends OptionTable> = {
  readonly [Name in keyof Options]: Options[Name] extends { readonly value: string }
    ? Options[Name] extends { readonly repeated: true }
      ? readonly string[]
      : string | undefined
    : boolean;
};

/** Where a command reads its time and writes its words. */
export interface Terminal {
  readonly clock: Clock;
  /** Results. */
  readonly out: Output;
  /** Progress and errors. */
  readonly err: Output;
  /** Aborts when the user or the system asks the process to end. */
  readonly signal: AbortSignal;
}

/** A stream of text. The size is known only where it is a terminal. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  readonly rows?: number | undefined;
  /** Whether colors are wanted there. */
  hasColors?(): boolean;
}

export interface Command<Options extends OptionTable = OptionTable> {
  readonly name: string;
  /** One line. */
  readonly summary: string;
  /** Names of the positional arguments in the help; empty when there are none. */
  readonly positionals: readonly string[];
  readonly options: Options;
  /** Further paragraphs of the help. */
  readonly notes?: readonly string[];
  run(given: Given<Options>, positionals: readonly string[], terminal: Terminal): Promise<ExitCode>;
}

/** Keeps the option names in the type. */
export function defineCommand<const Options extends OptionTable>(
  command: Command<Options>,
): Command<Options> {
  return command;
}

/** Reads a command's arguments. Throws a CliFailure of one sentence that names what is wrong. */
export function readArguments<Options extends OptionTable>(
  command: Command<Options>,
  args: readonly string[],
): { readonly given: Given<Options>; readonly positionals: readonly string[]; readonly help: boolean } {
  const table: Record<string, { type: 'string' | 'boolean'; multiple?: boolean; short?: string }> = {
    help: { type: 'boolean', short: 'h' },
  };
  for (const [name, option] of Object.entries(command.options)) {
    table[name] = { type: option.value ? 'string' : 'boolean', multiple: option.repeated ?? false };
  }
  const { values, positionals } = parse(command.name, args, table);
  const help = values['help'] === true;
  if (!help && positionals.length !== command.positionals.length) {
    const wanted = command.positionals.length === 0 ? 'no argument' : command.positionals.join(' ');
    throw unusable(
      `homeostat ${command.name} takes ${wanted}, not ${positionals.length} arguments (see --help)`,
    );
  }
  const given: Record<string, unknown> = {};
  for (const [name, option] of Object.entries(command.options)) {
    given[name] = values[name] ?? (option.value ? (option.repeated ? [] : undefined) : false);
  }
  return { given: given as Given<Options>, positionals, help };
}

function parse(
  name: string,
  args: readonly string[],
  options: Record<string, { type: 'string' | 'boolean'; multiple?: boolean }>,
) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    // Node's text explains itself further after its first sentence.
    const sentence = (error as Error).message.split(/\.(?:\s|$)|\n/)[0];
    throw unusable(`homeostat ${name}: ${sentence} (see --help)`, error);
  }
}

/** The help of one command. */
export function renderHelp(command: Command): string {
  const usage = ['homeostat', command.name, ...command.positionals, '[options]'].join(' ');
  const rows = Object.entries(command.options).map(([name, option]) => {
    const value = option.value ? ` ${option.value}` : '';
    return [`  --${name}${value}`, option.meaning + (option.repeated ? ' Repeatable.' : '')] as const;
  });
  const width = Math.max(0, ...rows.map(([left]) => left.length)) + 2;
  const options = rows.map(([left, meaning]) => left.padEnd(width) + meaning);
  return [
    `${command.summary}`,
    '',
    `Usage: ${usage}`,
    ...(options.length > 0 ? ['', 'Options:', ...options] : []),
    ...(command.notes ?? []).flatMap((note) => ['', note]),
    '',
    'Exit codes: 0 done, 1 failed, 2 unusable input.',
    '',
  ].join('\n');
}
