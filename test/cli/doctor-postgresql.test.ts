/** What the doctor says of a PostgreSQL database, on a real one where its server is installed. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { systemClock } from '../../src/clock.ts';
import { migrations } from '../../src/server.ts';
import { openStore } from '../../src/store/open.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import {
  type PostgresqlCluster,
  postgresqlMissing,
  startPostgresqlCluster,
} from '../support/postgresql-cluster.ts';
import { silentLogger } from '../support/stores.ts';
import { environmentOf, findingsOf, makeFolder, of, problemsIn, removeFolder } from './doctor-world.ts';

const missing = postgresqlMissing();

(missing === undefined ? describe : describe.skip)(
  `a PostgreSQL database${missing === undefined ? '' : ` (skipped: ${missing})`}`,
  () => {
    let cluster: PostgresqlCluster;
    let folder: string;
    beforeAll(async () => {
      folder = await makeFolder();
      writeFileSync(join(folder, 'secret'), Buffer.alloc(32, 1), { mode: 0o600 });
      cluster = await startPostgresqlCluster();
    });
    afterAll(async () => {
      await cluster.dispose();
      await removeFolder(folder);
    });
    const environment = (url: string) =>
      environmentOf(join(folder, 'data'), {
        HOMEOSTAT_DATABASE_URL: url,
        HOMEOSTAT_SECRET_FILE: join(folder, 'secret'),
      });

    test('that is empty has every step pending; migrated, none', async () => {
      const url = await cluster.createDatabase('doctor_migrated');
      const before = await findingsOf(environment(url));
      expect(problemsIn(before)).toEqual([]);
      expect(of(before, 'database.schema')).toMatchObject([{ severity: 'WARNING' }]);
      const store = await openStore({
        databaseUrl: url,
        dataDir: folder,
        clock: systemClock,
        logger: silentLogger,
      });
      await store.migrate(migrations);
      await store.close();
      const after = await findingsOf(environment(url));
      expect(of(after, 'database.connection')).toMatchObject([
        { severity: 'OK', found: expect.stringMatching(/^PostgreSQL \d+.* answers and takes writes\.$/) },
      ]);
      expect(of(after, 'database.schema')).toMatchObject([{ severity: 'OK' }]);
      expect(of(after, 'clock.database')).toMatchObject([{ severity: 'OK' }]);
    });

    test('whose clock differs is told', async () => {
      const url = await cluster.createDatabase('doctor_clock');
      const clock = createFakeClock(Date.now() - 40_000);
      expect(of(await findingsOf(environment(url), { clock }), 'clock.database')).toMatchObject([
        { severity: 'PROBLEM', found: expect.stringMatching(/40\.\d s behind|39\.\d s behind/) },
      ]);
    });

    test('that takes no writes is a problem', async () => {
      const url = await cluster.createDatabase('doctor_standby');
      const readOnly = `${url}?options=${encodeURIComponent('-c default_transaction_read_only=on')}`;
      expect(problemsIn(await findingsOf(environment(readOnly)))).toEqual(['database.connection']);
    });

    test('that is not there, or named by no URL, is a problem without its password', async () => {
      const url = new URL(await cluster.createDatabase('doctor_gone'));
      url.password = 'hunter2';
      url.pathname = '/nowhere';
      for (const away of [url.href, 'mysql://u:hunter2@h/db']) {
        const findings = await findingsOf(environment(away));
        expect(problemsIn(findings)).toEqual(['database.connection']);
        expect(JSON.stringify(findings)).not.toContain('hunter2');
      }
    });
  },
);
