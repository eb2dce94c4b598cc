/** `homeostat token --bootstrap`: a new admin key for whoever has the database at hand. */
import { defineCommand } from './command.ts';
import { unusable } from './failure.ts';
import { recoverKey } from './launch.ts';

export const token = defineCommand({
  name: 'token',
  summary: 'Recovers the admin key: makes a new one, revokes the old one and writes admin.key anew.',
  positionals: [],
  options: {
    bootstrap: { meaning: 'Required: says that the key before is to be replaced.' },
  },
  notes: [
    'Needs access to the data directory and the database; a running server learns of it within a second.',
  ],
  async run(given, _positionals, terminal) {
    if (!given.bootstrap) throw unusable('homeostat token needs --bootstrap (see --help)');
    const path = await recoverKey();
    terminal.out.write(`The new admin key is in ${path}; the one before is refused from now on.\n`);
    return 0;
  },
});
