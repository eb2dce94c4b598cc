/**
 * The rules of the house, enforced by reading imports: who may import whom, where third parties and the outside world
 * may be touched, and tidiness. Contexts are discovered from the folders. Every rule is also fed an example that must
 * fail, so that a rule that has stopped working is noticed.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

interface Source {
  /** Path from the repository's root, `src/energy/service.ts`. */
  readonly path: string;
  readonly text: string;
}

const EDGES = new Set([
  'rpc',
  'http',
  'bus',
  'store',
  'gen',
  'numeric',
  'cli',
  'client',
  'simulation',
  'blobs',
]);

function readSources(folder: string): Source[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name))
    .map((file) => ({ path: relative(root, file), text: readFileSync(file, 'utf8') }))
    .filter((source) => !source.path.startsWith('src/gen/'))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

const contexts = readdirSync(join(root, 'src'), { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && !EDGES.has(entry.name))
  .map((entry) => entry.name);

interface Import {
  /** A package (`kysely`, `node:fs`) or a path from the root. */
  readonly target: string;
  readonly typeOnly: boolean;
}

/** Code without comments, so that words in prose never count. Strings stay: they hold import paths. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|[^:'"`\\])\/\/[^\n]*/g, '$1');
}

function importsOf(source: Source): Import[] {
  const found: Import[] = [];
  const pattern =
    /\b(?:import|export)\s+(type\s+)?(?:[\w*{},\s$]+?\s+from\s+)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/g;
  for (const match of withoutComments(source.text).matchAll(pattern)) {
    const name = match[2] ?? match[3]!;
    const target = name.startsWith('.') ? normalize(join(dirname(source.path), name)) : name;
    found.push({ target, typeOnly: match[1] !== undefined });
  }
  return found;
}

/** First folder below src: the context or edge a file belongs to; a file directly in src belongs to none. */
function areaOf(path: string): string | undefined {
  return /^src\/([^/]+)\//.exec(path)?.[1];
}

type Rule = (source: Source) => string[];

/** Rule 1: no context imports another context's folder. */
const contextsStayApart: Rule = (source) => {
  const own = areaOf(source.path);
  if (own === undefined || !contexts.includes(own)) return [];
  return importsOf(source)
    .map((one) => areaOf(one.target))
    .filter((area) => area !== undefined && area !== own && contexts.includes(area))
    .map((area) => `imports context ${area}`);
};

/** Rule 2: only the composition root opens a context's door; the command line may use it for offline verification. */
const onlyTheRootComposes: Rule = (source) => {
  const own = areaOf(source.path);
  if (!source.path.startsWith('src/') || source.path === 'src/server.ts') return [];
  if (own !== undefined && contexts.includes(own)) return [];
  return importsOf(source)
    .filter((one) => !one.typeOnly && contexts.includes(areaOf(one.target) ?? ''))
    .filter((one) => !(own === 'cli' && one.target.endsWith('/context.ts')))
    .filter((one) => !(source.path === 'src/config.ts' && one.typeOnly))
    .map((one) => `imports ${one.target}`);
};

const DOOR_FILES =
  /\/(context|service|ingest|publish|store|errors|watch|sweep|cadence|bootstrap|changes|credentials|silence|pool|worker|looks|migrations)\.ts$/;

/** Rule 3: domain files import only errors, units, numeric, types of clock and random, contracts and siblings. */
const domainStaysPure: Rule = (source) => {
  const own = areaOf(source.path);
  if (own === undefined || !contexts.includes(own) || isDoor(source.path)) return [];
  return importsOf(source)
    .filter((one) => {
      if (areaOf(one.target) === own || areaOf(one.target) === 'numeric') return false;
      if (one.target === 'src/errors.ts' || one.target === 'src/units.ts') return false;
      if (one.target === 'src/clock.ts' || one.target === 'src/random.ts') return !one.typeOnly;
      return (
        areaOf(one.target) !== 'gen' &&
        !one.target.startsWith('@bufbuild/protobuf') &&
        one.target !== 'node:crypto'
      );
    })
    .map((one) => `domain file imports ${one.target}`);
};

/** A file that may touch the edges. In sub-folders any `*-service.ts`, `*-store.ts` counts as well. */
function isDoor(path: string): boolean {
  return DOOR_FILES.test(path) || /-(service|store|ingest)\.ts$/.test(path);
}

/** Rule 4: third parties are confined to their one place. */
const CONFINED: ReadonlyArray<readonly [RegExp, (path: string) => boolean]> = [
  [/^@grpc\//, (path) => /^src\/(rpc|client)\//.test(path) || path === 'src/server.ts'],
  [/^@nats-io\//, (path) => path.startsWith('src/bus/')],
  [/^(kysely|libsql|pg)(\/|$)/, (path) => path.startsWith('src/store/')],
  [/^(jose|argon2)$/, (path) => /^src\/(identity|ledger)\//.test(path)],
  [/^(pino|prom-client|@opentelemetry\/.*)$/, (path) => path === 'src/observability.ts'],
  [/^piscina$/, (path) => path.startsWith('src/numeric/')],
  [/^@aws-sdk\//, (path) => path.startsWith('src/blobs/')],
];
const thirdPartiesAreConfined: Rule = (source) => {
  if (!source.path.startsWith('src/')) return [];
  return importsOf(source).flatMap((one) =>
    CONFINED.filter(([name, allowed]) => name.test(one.target) && !allowed(source.path)).map(
      () => `imports ${one.target}`,
    ),
  );
};

/** Rule 5: the environment, time, timers and chance have one door each. */
const DOORS: ReadonlyArray<readonly [RegExp, string, RegExp]> = [
  [/\bprocess\.env\b/, 'process.env', /^src\/config\.ts$/],
  [/\bDate\.now\(|\bnew Date\(\)|\bperformance\.now\(/, 'the time', /^src\/clock\.ts$/],
  [/(?<!\.)\bset(Timeout|Interval)\(/, 'timers', /^src\/clock\.ts$/],
  [/\bMath\.random\b/, 'Math.random', /^$/],
];
const worldHasDoors: Rule = (source) => {
  if (!source.path.startsWith('src/')) return [];
  const code = withoutComments(source.text);
  return DOORS.filter(([pattern, , allowed]) => pattern.test(code) && !allowed.test(source.path)).map(
    ([, what]) => `touches ${what}`,
  );
};

/** Tidiness: no barrels, no vague names, no unfinished words, no overlong files. */
const LINES_MAX = 500;
const tidy: Rule = (source) => {
  const faults: string[] = [];
  const lines = source.text.split('\n').length - 1;
  if (lines > LINES_MAX) faults.push(`has ${lines} lines`);
  if (/\/(utils?|helpers?|common|misc|.*manager)\.ts$/.test(source.path)) faults.push('has a vague name');
  if (!/^[a-z0-9-]+(\.test)?\.ts$/.test(source.path.split('/').at(-1)!)) faults.push('is not kebab-case');
  const code = withoutComments(source.text);
  if (/\bexport\s+\*/.test(code)) faults.push('re-exports everything');
  if (/\bexport\s+default\b/.test(code)) faults.push('has a default export');
  // To V8 what comes out of an array may be anything: loops that add to it are slow, and may allocate each sum.
  if (source.path.startsWith('src/') && /\blet \[[^\]]*\] = \[-?\d/.test(code))
    faults.push('declares numbers by taking an array apart');
  if (/\b(TODO|FIXME|XXX|HACK)\b/.test(source.text) && !source.path.endsWith('architecture.test.ts'))
    faults.push('has an unfinished word');
  if (source.path.startsWith('src/') && !/^\s*(#!.*\n)?\s*\/\*\*/.test(source.text))
    faults.push('does not open with a comment that says what it owns');
  return faults;
};

/** No two documented things share a doc comment: a pasted one is wrong for one of them. */
function pastedComments(sources: readonly Source[]): string[] {
  const seen = new Map<string, string>();
  const faults: string[] = [];
  for (const source of sources) {
    for (const match of source.text.matchAll(/\/\*\*([\s\S]*?)\*\//g)) {
      const comment = match[1]!.replace(/\s*\*\s?/g, ' ').trim();
      if (comment.length < 60) continue;
      const first = seen.get(comment);
      if (first !== undefined)
        faults.push(`${source.path} repeats a comment of ${first}: ${comment.slice(0, 60)}`);
      else seen.set(comment, source.path);
    }
  }
  return faults;
}

const rules: ReadonlyArray<{ name: string; rule: Rule; forbidden: readonly Source[] }> = [
  {
    name: 'no context imports another context',
    rule: contextsStayApart,
    forbidden: [
      { path: 'src/energy/service.ts', text: "import { admit } from '../session/admission.ts';" },
      {
        path: 'src/resilience/defense/level.ts',
        text: "import type { Fold } from '../../telemetry/fold/fold.ts';",
      },
      { path: 'src/session/service.ts', text: "const door = await import('../energy/context.ts');" },
    ],
  },
  {
    name: 'only the composition root opens the doors of contexts',
    rule: onlyTheRootComposes,
    forbidden: [
      { path: 'src/rpc/bind.ts', text: "import { createEnergy } from '../energy/context.ts';" },
      { path: 'src/cli/demo.ts', text: "import { admit } from '../session/admission.ts';" },
    ],
  },
  {
    name: 'domain files stay pure',
    rule: domainStaysPure,
    forbidden: [
      { path: 'src/session/admission.ts', text: "import { topics } from '../bus/topics.ts';" },
      { path: 'src/energy/map/state.ts', text: "import { readFileSync } from 'node:fs';" },
      { path: 'src/resilience/defense/level.ts', text: "import { systemClock } from '../../clock.ts';" },
    ],
  },
  {
    name: 'third parties are confined',
    rule: thirdPartiesAreConfined,
    forbidden: [
      { path: 'src/energy/store.ts', text: "import { Kysely } from 'kysely';" },
      { path: 'src/cli/replay.ts', text: "import { connect } from '@nats-io/transport-node';" },
      { path: 'src/http/server.ts', text: "import { status } from '@grpc/grpc-js';" },
      { path: 'src/rpc/log.ts', text: "import { pino } from 'pino';" },
    ],
  },
  {
    name: 'environment, time, timers and chance have one door each',
    rule: worldHasDoors,
    forbidden: [
      { path: 'src/cli/demo.ts', text: 'const home = process.env.HOME;' },
      { path: 'src/session/service.ts', text: 'const now = Date.now();' },
      { path: 'src/bus/consumer.ts', text: 'setTimeout(() => {}, 5);' },
      { path: 'src/simulation/fleet.ts', text: 'const x = Math.random();' },
    ],
  },
  {
    name: 'files are tidy',
    rule: tidy,
    forbidden: [
      { path: 'src/energy/utils.ts', text: '/** What. */\n' },
      { path: 'src/energy/energyMap.ts', text: '/** What. */\n' },
      { path: 'src/energy/service.ts', text: "/** What. */\nexport * from './map.ts';" },
      { path: 'src/energy/service.ts', text: 'export const undocumented = 1;\n' },
      { path: 'src/numeric/sum.ts', text: '/** What. */\nlet [sum, count] = [0, 0];\n' },
      { path: 'src/energy/service.ts', text: `/** What. */\n${'x;\n'.repeat(LINES_MAX + 1)}` },
    ],
  },
];

describe('architecture', () => {
  const sources = [...readSources('src'), ...readSources('test'), ...readSources('bench')];

  test('the house has its contexts', () => {
    expect(contexts).toEqual(
      expect.arrayContaining(['telemetry', 'energy', 'resilience', 'session', 'identity', 'ledger']),
    );
    expect(sources.length).toBeGreaterThan(50);
  });

  for (const { name, rule, forbidden } of rules) {
    test(name, () => {
      const faults = sources.flatMap((source) => rule(source).map((fault) => `${source.path} ${fault}`));
      expect(faults).toEqual([]);
    });
    for (const [index, example] of forbidden.entries()) {
      test(`${name}: forbidden example ${index + 1} is refused`, () => {
        expect(rule(example)).not.toEqual([]);
      });
    }
  }

  test('no doc comment is pasted', () => {
    expect(pastedComments(sources)).toEqual([]);
    const comment =
      '/** Says at length what the thing below it does, and does so in more than sixty characters. */';
    const twice = ['a.ts', 'b.ts'].map((path) => ({ path, text: comment }));
    expect(pastedComments(twice)).toHaveLength(1);
  });

  test('every context opens by context.ts and lists its reasons in errors.ts', () => {
    for (const context of contexts) {
      const files = readdirSync(join(root, 'src', context));
      expect({ context, door: files.includes('context.ts') }).toEqual({ context, door: true });
      expect({ context, files: files.filter((file) => file.endsWith('.ts')).length <= 10 }).toEqual({
        context,
        files: true,
      });
    }
  });
});
