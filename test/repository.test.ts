/** What the repository says about itself must be true: commands exist, variables exist, documents are fresh. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { PREFIX, renderConfiguration, variables } from '../src/config.ts';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const read = (path: string) => readFileSync(join(root, path), 'utf8');
const manifest = JSON.parse(read('package.json')) as { scripts: Record<string, string>; version: string };
const documents = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', ...markdownIn('docs')];

function markdownIn(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true })
    .map(String)
    .filter((name) => name.endsWith('.md'))
    .map((name) => `${folder}/${name}`);
}

describe('the repository', () => {
  test('every npm command in the documents exists', () => {
    const missing = documents.flatMap((document) =>
      [...read(document).matchAll(/\bnpm (?:run (?:-s )?([\w:]+)|(test|start)\b)/g)]
        .map((match) => match[1] ?? match[2]!)
        .filter((script) => !(script in manifest.scripts))
        .map((script) => `${document}: npm run ${script}`),
    );
    expect(missing).toEqual([]);
  });

  test('every variable in the manifests and the documents exists', () => {
    const files = [
      'Dockerfile',
      ...readdirSync(join(root, 'k8s', 'base')).map((name) => `k8s/base/${name}`),
      ...documents,
    ];
    const unknown = files.flatMap((file) =>
      [...read(file).matchAll(/\bHOMEOSTAT_[A-Z][A-Z_]*[A-Z]\b/g)]
        .map((match) => match[0])
        .filter((name) => !(name.slice(PREFIX.length) in variables))
        .map((name) => `${file}: ${name}`),
    );
    expect(unknown).toEqual([]);
  });

  test('docs/configuration.md is the table of config.ts', () => {
    expect(read('docs/configuration.md')).toContain(renderConfiguration());
  });

  test('relative links in the documents lead somewhere', () => {
    const broken = documents.flatMap((document) =>
      [...read(document).matchAll(/\]\((?!https?:|#)([^)#]+)/g)]
        .map((match) => match[1]!)
        .filter((target) => !existsSync(join(root, dirname(document), target)))
        .map((target) => `${document}: ${target}`),
    );
    expect(broken).toEqual([]);
  });

  test('paths the Dockerfile copies exist', () => {
    const copied = [...read('Dockerfile').matchAll(/^COPY (?!--from)(?:--chown=\S+ )?(.+) \S+$/gm)].flatMap(
      (match) => match[1]!.split(' '),
    );
    expect(copied.length).toBeGreaterThan(3);
    for (const path of copied)
      expect({ path, exists: existsSync(join(root, path)) }).toEqual({ path, exists: true });
  });

  test('the changelog speaks of the version in the manifest', () => {
    expect(read('CHANGELOG.md')).toContain(`## ${manifest.version}`);
  });
});
