// Suites that put servers under more load than they can take: minutes, and the machine to themselves.
import base from './jest.config.js';

export default {
  ...base,
  testPathIgnorePatterns: ['/node_modules/'],
  testMatch: ['<rootDir>/test/load/**/*.test.ts'],
  testTimeout: 300_000,
  maxWorkers: 1,
};
