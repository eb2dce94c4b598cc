// Fails when the demo's report does not show what the demo is for: balanced books, maps, a crisis that is seen coming,
// refused sessions.
import { readFileSync } from 'node:fs';

const report = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const { offered, accepted, duplicate, late, rejected } = report.telemetry;
const rejections = rejected;
const checks = {
  'samples were offered': offered > 0,
  'offered = accepted + duplicate + late + rejected': offered === accepted + duplicate + late + rejections,
  'maps were made': report.maps > 0,
  'the defense level rose to 3 or more': report.defenseLevelMax >= 3,
  'phase risk rose to HIGH or more': ['HIGH', 'CRITICAL', 'IMMINENT'].includes(report.phaseRiskMax),
  'phase risk raised the level before load did': report.warnedBeforeLoadMs > 0,
  'sessions were created': report.sessions.created > 0,
  'sessions were refused': report.sessions.refused > 0,
};
const failed = Object.keys(checks).filter((name) => !checks[name]);
if (failed.length > 0) {
  console.error(`demo report fails: ${failed.join('; ')}\n${JSON.stringify(report)}`);
  process.exit(1);
}
console.log(`demo report: ${Object.keys(checks).length} checks hold`);
