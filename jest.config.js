// One configuration for every suite. Tests run the TypeScript sources themselves, as ES modules.
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
  testMatch: ['**/*.test.ts'],
  testPathIgnorePatterns: [
    '/node_modules/',
    '<rootDir>/test/chaos/',
    '<rootDir>/test/load/',
    '<rootDir>/test/cluster/',
  ],
  collectCoverageFrom: ['src/**/*.ts', '!src/gen/**'],
  testTimeout: 30_000,
  // Two at a time, and a process that has grown makes way for a fresh one: what hundreds of suites leave behind in one
  // heap slows those that measure time.
  maxWorkers: 2,
  workerIdleMemoryLimit: '1GB',
  reporters: ['default', '<rootDir>/scripts/skipped-reporter.mjs'],
};
