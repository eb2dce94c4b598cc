// One configuration for every suite. Tests run the TypeScript sources themselves, as ES modules.
const CONTEXTS = 'src/{telemetry,energy,diffusion,resilience,session}/**';
const SERVICES = 'service|*-service|ingest|*-ingest';
/** What a context has beside its domain: its door, SQL, events, and what threads load. */
const EDGES = `${SERVICES}|context|errors|publish|store|*-store|worker`;

export default {
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': [
      '<rootDir>/test/support/transform.mjs',
      {
        jsc: { target: 'es2023', parser: { syntax: 'typescript' } },
        module: { type: 'es6' },
        sourceMaps: 'inline',
      },
    ],
  },
  // The real pool; its threads get the loader of TypeScript, which production does not need.
  moduleNameMapper: { '^piscina$': '<rootDir>/test/support/typescript-piscina.ts' },
  roots: ['<rootDir>/test'],
  globalSetup: '<rootDir>/test/support/global-setup.mjs',
  globalTeardown: '<rootDir>/test/support/global-teardown.mjs',
  testMatch: ['**/*.test.ts'],
  testPathIgnorePatterns: [
    '/node_modules/',
    '<rootDir>/test/chaos/',
    '<rootDir>/test/load/',
    '<rootDir>/test/cluster/',
  ],
  collectCoverageFrom: ['src/**/*.ts', '!src/gen/**'],
  coverageReporters: ['text-summary', 'json', 'lcovonly'],
  // Percent of lines that a run of all suites with --coverage must reach: of folders together, of files that a pattern
  // names each, of all others together. `scripts/test.mjs` takes them away where only some suites are run.
  coverageThreshold: {
    global: { lines: 80 },
    'src/numeric/': { lines: 90 },
    'src/identity/': { lines: 95 },
    'src/rpc/': { lines: 95 },
    'src/ledger/': { lines: 95 },
    'src/energy/proof/': { lines: 95 },
    [`${CONTEXTS}/@(${SERVICES}).ts`]: { lines: 85 },
    [`${CONTEXTS}/!(${EDGES}).ts`]: { lines: 90 },
  },
  testTimeout: 30_000,
  // Two at a time, and a process that has grown makes way for a fresh one: what hundreds of suites leave behind in one
  // heap slows those that measure time.
  maxWorkers: 2,
  workerIdleMemoryLimit: '1GB',
  reporters: ['default', '<rootDir>/scripts/skipped-reporter.mjs'],
};
