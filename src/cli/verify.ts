/** `homeostat verify`: checks what a server has handed out, with nothing but the file and the keys that are trusted. */
import { readFile } from 'node:fs/promises';
import { describeError } from '../errors.ts';
import { defineCommand } from './command.ts';
import { unusable } from './failure.ts';
import { readInteger } from './values.ts';
import { type Bundle, readBundle } from './verify/bundle.ts';
import { type Finding, isProven, verifyBundle } from './verify/checks.ts';
import { readTrust } from './verify/trust.ts';

/** As many as a note may have signatures. */
const WITNESSES_MAX = 100;

export const verify = defineCommand({
  name: 'verify',
  summary:
    'Verifies a checkpoint, an entry of the ledger, a consistency proof or an export of the audit trail.',
  positionals: ['<file>'],
  options: {
    trust: {
      value: '<file>',
      meaning:
        'Required: trusted keys, one a line in the notation of signed notes, or the JSON of GetLogKeys.',
    },
    witnesses: { value: '<n>', meaning: 'Trusted witnesses that must have cosigned; default 0.' },
    payload: { value: '<file>', meaning: 'What an entry of the ledger is said to commit to.' },
    json: { meaning: 'Prints the findings as JSON.' },
  },
  notes: [
    'The file says by its content what it is: a signed note, or the JSON of GetCheckpoint, GetInclusionProof,\n' +
      'GetConsistencyProof or ExportAudit as `buf curl` prints it. Nothing else is read and nobody is asked: fetch the\n' +
      'keys once, from a source you trust, and keep them. When a checkpoint was signed is not covered by its signature.',
    'It exits with 0 when everything given is proven, and with 1 when something is refuted or proves nothing.',
  ],
  async run(given, [path], terminal) {
    if (given.trust === undefined) throw unusable('homeostat verify needs --trust (see --help)');
    const witnessesMin =
      given.witnesses === undefined ? 0 : readInteger('witnesses', given.witnesses, 0, WITNESSES_MAX);
    const keys = readTrust(await readBytes(given.trust));
    const bundle = readBundle(await readBytes(path!));
    const payload = given.payload === undefined ? undefined : await readBytes(given.payload);
    if (payload && bundle.kind !== 'entry')
      throw unusable('--payload goes with an entry of the ledger alone');
    const findings = verifyBundle(bundle, { keys, witnessesMin }, payload);
    terminal.out.write(given.json ? renderJson(bundle, findings) : render(bundle, findings));
    return isProven(findings) ? 0 : 1;
  },
});

const NAMES: Readonly<Record<Bundle['kind'], string>> = {
  note: 'checkpoint',
  checkpoint: 'checkpoint',
  entry: 'entry',
  consistency: 'consistency proof',
  audit: 'audit export',
};

function render(bundle: Bundle, findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ check }) => check.length));
  const rows = findings.map(
    ({ outcome, check, detail }) => `${outcome.padEnd(6)}  ${check.padEnd(width)}  ${detail}`,
  );
  const verdict = isProven(findings) ? 'is valid' : 'is NOT proven';
  return [...rows, `The ${NAMES[bundle.kind]} ${verdict}.`, ''].join('\n');
}

function renderJson(bundle: Bundle, findings: readonly Finding[]): string {
  return `${JSON.stringify({ kind: NAMES[bundle.kind], valid: isProven(findings), findings }, undefined, 2)}\n`;
}

async function readBytes(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    throw unusable(`${path} cannot be read: ${describeError(error)}`, error);
  }
}
