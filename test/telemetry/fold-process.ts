/**
 * Telemetry alone in a process of its own, to be killed: `node --import <loader> fold-process.ts <data dir> <broker>`.
 * Says `ready` once it consumes.
 */
import { busMigrations, openBus } from '../../src/bus/open.ts';
import { systemClock as clock } from '../../src/clock.ts';
import { createLogger, createMetrics } from '../../src/observability.ts';
import { openStore } from '../../src/store/open.ts';
import { createTelemetry, telemetryMigrations } from '../../src/telemetry/context.ts';
import { CONFIG } from './telemetry-config.ts';

const [dataDir = '', natsUrl = ''] = process.argv.slice(2);
const logger = createLogger('error');
const store = await openStore({ dataDir, clock, logger });
await store.migrate([...busMigrations, ...telemetryMigrations]);
const metrics = createMetrics();
const bus = await openBus({ natsUrl, dataDir, clock, logger, metrics, store });
const telemetry = createTelemetry({ config: CONFIG, clock, store, bus, logger, metrics });
await telemetry.start();
console.log('ready');
