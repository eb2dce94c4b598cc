/**
 * One run of the evaluation: reads the arguments, runs the sets asked for one after the other, prints a table of each
 * as soon as it is known, and says by its exit code whether all targets were met: 0 met, 1 missed, 2 unusable input.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Terminal } from '../../src/cli/command.ts';
import { CliFailure, type ExitCode, unusable } from '../../src/cli/failure.ts';
import { createProgress } from '../../src/cli/progress.ts';
import { describeError } from '../../src/errors.ts';
import type { EvaluationContext, EvaluationSet, Figure } from './figure.ts';
import { isMet, renderJson, renderTable, type SetResult } from './results.ts';

/** Runs with the arguments of a command line; `sets` are all there are. */
export async function evaluate(
  args: readonly string[],
  sets: readonly EvaluationSet[],
  terminal: Terminal,
): Promise<ExitCode> {
  const progress = createProgress(terminal);
  try {
    const { data, json, chosen } = readRequest(args, sets);
    const results: SetResult[] = [];
    for (const set of chosen) {
      const result = await runSet(set, join(data, set.name), { signal: terminal.signal, progress });
      progress.end();
      results.push(result);
      terminal.out.write(`${renderTable(result)}\n`);
      if (json !== undefined) writeFileSync(json, renderJson(results));
    }
    return results.every(isMet) ? 0 : 1;
  } catch (error) {
    if (!(error instanceof CliFailure)) throw error;
    progress.end();
    terminal.err.write(`evaluate: ${error.message}\n`);
    return error.exitCode;
  }
}

interface EvaluationRequest {
  /** Directory of the data sets. */
  readonly data: string;
  /** File for all figures; undefined for none. */
  readonly json: string | undefined;
  readonly chosen: readonly EvaluationSet[];
}

function readRequest(args: readonly string[], sets: readonly EvaluationSet[]): EvaluationRequest {
  const known = sets.map(({ name }) => name);
  const usage = `usage: npm run evaluate -- [SET...] --data DIR [--json FILE]; sets are ${known.join(', ')}`;
  const { values, positionals } = parse(args, usage);
  const { data, json } = values;
  const unknown = positionals.find((name) => !known.includes(name));
  if (unknown !== undefined) throw unusable(`there is no set "${unknown}"; ${usage}`);
  if (data === undefined) throw unusable(`--data is missing; ${usage}`);
  if (!existsSync(data)) throw unusable(`there is no directory ${data}`);
  const names = positionals.length > 0 ? positionals : known.filter((name) => existsSync(join(data, name)));
  if (names.length === 0) throw unusable(`${data} holds none of the sets ${known.join(', ')}`);
  const missing = names.find((name) => !existsSync(join(data, name)));
  if (missing !== undefined) throw unusable(`${join(data, missing)} is missing`);
  if (json !== undefined) checkWritable(json);
  return { data, json, chosen: sets.filter(({ name }) => names.includes(name)) };
}

function parse(args: readonly string[], usage: string) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { data: { type: 'string' }, json: { type: 'string' } },
    });
  } catch (error) {
    throw unusable(`${describeError(error)}; ${usage}`, error);
  }
}

/** Makes the file, so that minutes of work are not lost to a path that cannot be written. */
function checkWritable(path: string): void {
  try {
    writeFileSync(path, '');
  } catch (error) {
    throw unusable(`${path} cannot be written: ${describeError(error)}`, error);
  }
}

async function runSet(set: EvaluationSet, folder: string, context: EvaluationContext): Promise<SetResult> {
  const figures: Figure[] = [];
  for await (const figure of set.run(folder, context)) figures.push(figure);
  return { name: set.name, measures: set.measures, figures };
}
