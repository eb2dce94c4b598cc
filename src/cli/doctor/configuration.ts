/**
 * Checks of the environment alone: every fault of the configuration at once, what listens beyond loopback without TLS,
 * and the files that variables name. Values are never shown where they may hold a secret.
 */
import { accessSync, constants, statSync } from 'node:fs';
import { type Config, ConfigError, PREFIX, readConfig, type Variable, variables } from '../../config.ts';
import { type Finding, ok, problem, warning } from './finding.ts';
import { quoted } from './remedy.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** The configuration of an environment, undefined when it has faults, and what there is to say about it. */
export function checkConfiguration(environment: Environment): {
  readonly config: Config | undefined;
  readonly findings: readonly Finding[];
} {
  try {
    const config = readConfig(environment);
    const setCount = Object.keys(environment).filter(
      (name) => name.startsWith(PREFIX) && environment[name]?.trim(),
    ).length;
    const found = `${setCount} of ${Object.keys(variables).length} variables are set, and all can be used.`;
    const findings = [
      ok('configuration.variables', found),
      checkExposure(config),
      ...checkNamedFiles(config),
    ];
    return { config, findings };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const findings = error.faults.map((fault) => {
      const name = fault.slice(0, fault.indexOf(':'));
      return problem('configuration.variables', `${fault}.`, remedyFor(name, environment[name]));
    });
    return { config: undefined, findings };
  }
}

/** What to do where each value can be used, and they cannot be used together. */
const TOGETHER: Partial<Record<Variable, string>> = {
  GRPC_ADDRESS: `Set ${PREFIX}TLS_CERT_FILE and ${PREFIX}TLS_KEY_FILE, listen on 127.0.0.1, or set ${PREFIX}ALLOW_PLAINTEXT=true where you trust the network.`,
  HTTP_ADDRESS: `Set ${PREFIX}TLS_CERT_FILE and ${PREFIX}TLS_KEY_FILE, listen on 127.0.0.1, or set ${PREFIX}ALLOW_PLAINTEXT=true where you trust the network.`,
  TLS_CERT_FILE: `Set both ${PREFIX}TLS_CERT_FILE and ${PREFIX}TLS_KEY_FILE, or neither.`,
  TLS_CLIENT_CA_FILE: `Set ${PREFIX}MTLS=optional or required, or unset ${PREFIX}TLS_CLIENT_CA_FILE.`,
  MTLS: `Set ${PREFIX}TLS_CERT_FILE, ${PREFIX}TLS_KEY_FILE and ${PREFIX}TLS_CLIENT_CA_FILE, or unset ${PREFIX}MTLS.`,
  DATABASE_URL: `head -c 32 /dev/urandom > secret.key && chmod 600 secret.key   # give it to every server by ${PREFIX}SECRET_FILE`,
  NATS_CREDS_FILE: `Set ${PREFIX}NATS_URL, or unset ${PREFIX}NATS_CREDS_FILE.`,
  NATS_CA_FILE: `Set ${PREFIX}NATS_URL, or unset ${PREFIX}NATS_CA_FILE.`,
  RPC_DEADLINE_MS: `Lower ${PREFIX}RPC_DEADLINE_MS, or raise ${PREFIX}RPC_DEADLINE_MAX_MS.`,
};

function remedyFor(name: string, value: string | undefined): string {
  const variable = name.slice(PREFIX.length);
  if (!isVariable(variable)) {
    const meant = nearest(variable);
    return meant === undefined ? `unset ${name}` : `unset ${name}   # or did you mean ${PREFIX}${meant}?`;
  }
  const { parse, range } = variables[variable];
  try {
    parse(value?.trim() ?? '');
    return TOGETHER[variable] ?? `unset ${name}`;
  } catch {
    return `Set ${name} to ${range}, or unset it.`; // The fault is in the value itself.
  }
}

function isVariable(name: string): name is Variable {
  return name in variables;
}

/** The variable a mistyped name is nearest to; undefined when it is like none. */
function nearest(name: string): string | undefined {
  const [first] = Object.keys(variables)
    .map((known) => ({ known, distance: editDistance(name, known) }))
    .sort((a, b) => a.distance - b.distance);
  return first && first.distance <= Math.max(2, name.length / 3) ? first.known : undefined;
}

/** Letters to insert, drop or change to get from one word to the other (Levenshtein 1966). */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, i) => i);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const changed = row[j - 1]! + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(changed, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[to.length]!;
}

/** Without TLS whatever leaves the machine can be read and changed on its way, API keys included. */
function checkExposure(config: Config): Finding {
  const outside = [config.GRPC_ADDRESS, config.HTTP_ADDRESS].filter(
    (address) => !/^(127(\.\d+){3}|localhost|\[::1\]):/.test(address),
  );
  if (config.TLS_CERT_FILE !== '')
    return ok('configuration.loopback', 'gRPC and HTTP speak TLS, wherever they listen.');
  if (outside.length === 0) {
    const both = `gRPC on ${config.GRPC_ADDRESS} and HTTP on ${config.HTTP_ADDRESS}`;
    return ok('configuration.loopback', `${both} stay on loopback.`);
  }
  return warning(
    'configuration.loopback',
    `${outside.join(' and ')} ${outside.length === 1 ? 'is' : 'are'} open beyond loopback without TLS: API keys travel in clear.`,
    `Set ${PREFIX}TLS_CERT_FILE and ${PREFIX}TLS_KEY_FILE; or let a proxy end TLS in front, and admit nobody else to these ports.`,
  );
}

function checkNamedFiles(config: Config): Finding[] {
  return NAMED_FILES.filter((name) => config[name] !== '').map((name) =>
    checkNamedFile(PREFIX + name, config[name], SECRET_FILES.has(name)),
  );
}

const NAMED_FILES = [
  'NATS_CREDS_FILE',
  'NATS_CA_FILE',
  'SECRET_FILE',
  'TLS_CERT_FILE',
  'TLS_KEY_FILE',
  'TLS_CLIENT_CA_FILE',
  'LEDGER_WITNESSES_FILE',
] as const;
const SECRET_FILES: ReadonlySet<Variable> = new Set(['NATS_CREDS_FILE', 'SECRET_FILE', 'TLS_KEY_FILE']);

function checkNamedFile(variable: string, path: string, secret: boolean): Finding {
  const check = 'configuration.files';
  try {
    accessSync(path, constants.R_OK);
    const { mode } = statSync(path);
    if (secret && (mode & 0o007) !== 0) {
      const found = `Everybody on this machine may read ${path} of ${variable} (mode ${formatMode(mode)}).`;
      return problem(check, found, `chmod o= ${quoted(path)}`);
    }
    return ok(check, `${path} of ${variable} can be read.`);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const remedy =
      code === 'ENOENT'
        ? `Put the file there, or set ${variable} to where it is.`
        : `Let this user read it: chown "$(id -u)" ${quoted(path)}`;
    return problem(check, `${path} of ${variable} cannot be read (${code}).`, remedy);
  }
}

/** Permission bits as chmod takes them. */
export function formatMode(mode: number): string {
  return `0${(mode & 0o777).toString(8)}`;
}
