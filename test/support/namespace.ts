/** A mount namespace of one's own, for tests that need a full or a read-only file system without being root. */
import { spawnSync } from 'node:child_process';

/** Runs a shell script in a namespace that ends with it; mounts made there are nobody else's. */
export function inNamespace(script: string) {
  return spawnSync('unshare', ['--user', '--map-root-user', '--mount', 'sh', '-c', script], {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'] },
    timeout: 60_000,
  });
}

/** Why there can be no file system of one's own here; undefined when there can. */
export function tmpfsMissing(): string | undefined {
  const { status } = inNamespace('mount -t tmpfs -o size=64k tmpfs /tmp');
  return status === 0
    ? undefined
    : 'this system gives no unprivileged mount namespaces (unshare --user --mount)';
}
