/** `homeostat verify`: checks what a server has handed out, with nothing but the file and the keys that are trusted. */
import { readFile } from 'node:fs/promises';
import { describeError } from '../errors.ts';
import { defineCommand } from './command.ts';
import { unusable } from './failure.ts';
import { readInteger } from './values.ts';
import { type Bundle, readBundle } from './verify/bundle.ts';
import { type Beside, isProven, verifyBundle } from './verify/checks.ts';
import type { Finding } from './verify/finding.ts';
import { readMapDigests } from './verify/map.ts';
import { readTrust } from './verify/trust.ts';

/** As many as a note may have signatures. */
const WITNESSES_MAX = 100;

export const verify = defineCommand({
  name: 'verify',
  summary:
    'Verifies a proof, a checkpoint, an entry of the ledger, a consistency proof or an export of the audit trail.',
  positionals: ['<file>'],
  options: {
    trust: {
      value: '<file>',
      meaning:
        'Required: trusted keys, one a line in the notation of signed notes, or the JSON of GetLogKeys.',
    },
    witnesses: { value: '<n>', meaning: 'Trusted witnesses that must have cosigned; default 0.' },
    payload: { value: '<file>', meaning: 'What an entry of the ledger is said to commit to.' },
    map: {
      value: '<file>',
      meaning: 'The map a proof is said to be of: the JSON of a MapInput, with its mask, or a Grid.',
    },
    inclusion: {
      value: '<file>',
      meaning: "The JSON of GetInclusionProof of a proof's place in the ledger.",
    },
    json: { meaning: 'Prints the findings as JSON.' },
  },
  notes: [
    'The file says by its content what it is: a signed note, the bytes of a receipt, or the JSON of GetCheckpoint,\n' +
      'GetInclusionProof, GetConsistencyProof, ExportAudit, GetProof, ProveClaim or ProvePrediction as `buf curl` prints\n' +
      'it. Nothing else is read and nobody is asked: fetch the keys once, from a source you trust, and keep them. When a\n' +
      'checkpoint was signed is not covered by its signature, nor are the values of the checks of a proof.',
    'It exits with 0 when everything given is proven, and with 1 when something is refuted or proves nothing.',
  ],
  async run(given, [path], terminal) {
    if (given.trust === undefined) throw unusable('homeostat verify needs --trust (see --help)');
    const witnessesMin =
      given.witnesses === undefined ? 0 : readInteger('witnesses', given.witnesses, 0, WITNESSES_MAX);
    const keys = readTrust(await readBytes(given.trust));
    const bundle = readBundle(await readBytes(path!));
    const findings = verifyBundle(bundle, { keys, witnessesMin }, await readBeside(given, bundle));
    terminal.out.write(given.json ? renderJson(bundle, findings) : render(bundle, findings));
    return isProven(findings) ? 0 : 1;
  },
});

interface Named {
  readonly payload?: string | undefined;
  readonly map?: string | undefined;
  readonly inclusion?: string | undefined;
}

/** What is named beside the bundle. Throws a CliFailure (2) for what does not go with it. */
async function readBeside({ payload, map, inclusion }: Named, { kind }: Bundle): Promise<Beside> {
  if (payload !== undefined && kind !== 'entry')
    throw unusable('--payload goes with an entry of the ledger alone');
  if ((map !== undefined || inclusion !== undefined) && kind !== 'proof')
    throw unusable('--map and --inclusion go with a proof alone');
  return {
    ...(payload !== undefined && { payload: await readBytes(payload) }),
    ...(map !== undefined && { map: readMapDigests(await readBytes(map)) }),
    ...(inclusion !== undefined && { inclusion: await readInclusion(inclusion) }),
  };
}

async function readInclusion(path: string) {
  const bundle = readBundle(await readBytes(path));
  if (bundle.kind !== 'entry') throw unusable(`${path} is no reply of GetInclusionProof`);
  return bundle.reply;
}

const NAMES: Readonly<Record<Bundle['kind'], string>> = {
  note: 'checkpoint',
  checkpoint: 'checkpoint',
  entry: 'entry',
  consistency: 'consistency proof',
  audit: 'audit export',
  proof: 'proof',
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
