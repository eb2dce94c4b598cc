// Suites that kill servers and brokers: minutes, not seconds, so they have a command of their own.
import base from './jest.config.js';

export default {
  ...base,
  testPathIgnorePatterns: ['/node_modules/'],
  testMatch: ['<rootDir>/test/chaos/**/*.test.ts'],
  testTimeout: 300_000,
  // Alone, since each of them is about time.
  maxWorkers: 1,
};
