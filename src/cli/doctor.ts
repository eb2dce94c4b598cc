/** `homeostat doctor`: says what is wrong with an installation, and what to do about it. Changes nothing. */
import { processEnvironment } from '../config.ts';
import { defineCommand } from './command.ts';
import { probe } from './doctor/probe.ts';
import { unusable } from './failure.ts';

export const doctor = defineCommand({
  name: 'doctor',
  summary:
    'Checks configuration, machine, data directory, broker, database, clock and server; says what to do.',
  positionals: [],
  options: {
    json: { meaning: 'Prints the findings as JSON.' },
    thorough: {
      meaning:
        'Also searches the whole database, and times the disk with a 4 KiB file in the data directory.',
    },
    probe: { meaning: 'Only asks the running server whether it serves: the health check of the container.' },
  },
  notes: [
    'Run it before the first start, beside a running server, or after a crash, in the environment and as the user\n' +
      'of the server. Without --thorough it writes nothing. It exits with 1 when there is a problem; warnings are none.',
  ],
  async run(given, _positionals, terminal) {
    if (given.probe) {
      if (given.json || given.thorough) throw unusable('homeostat doctor takes --probe alone (see --help)');
      return probe(processEnvironment(), terminal);
    }
    // Loaded here, so that a probe is quick.
    const { examine } = await import('./doctor/examination.ts');
    const { renderFindings, renderJson } = await import('./doctor/report.ts');
    const { clock, out } = terminal;
    const findings = await examine({ environment: processEnvironment(), clock, thorough: given.thorough });
    const colors = out.isTTY === true && (out.hasColors?.() ?? true);
    out.write(given.json ? renderJson(findings) : renderFindings(findings, colors));
    return findings.some(({ severity }) => severity === 'PROBLEM') ? 1 : 0;
  },
});
