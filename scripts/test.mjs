// Runs the tests: builds (some tests start the real server as a child process), makes sure that a nats-server is at
// hand, then runs jest on what was named, or on every default suite.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const run = (command, args, env = process.env) => {
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit', env });
  if (status !== 0) process.exit(status ?? 1);
};

run('npm', ['run', '-s', 'build']);
const { ensureNats } = await import(join(root, 'dist', 'bus', 'find-nats.js'));
await ensureNats({ onInstall: (how) => console.log(`installing nats-server: ${how}`) });
// The bars of coverage are for all suites together.
const args = process.argv.slice(2);
if (args.includes('--coverage') && args.length > 1) {
  console.log('coverage of a part: its bars are not applied');
  args.push('--coverageThreshold={}');
}
run(process.execPath, [
  '--experimental-vm-modules',
  '--no-warnings=ExperimentalWarning',
  join(root, 'node_modules', 'jest', 'bin', 'jest.js'),
  ...args,
]);
