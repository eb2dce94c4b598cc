/** The schema of identity: its steps in the order of their ids. What is in the tables, the store of each noun says. */
import type { Migration } from '../store/store.ts';
import { auditMigrations } from './audit/audit-store.ts';
import { changeMigrations } from './changes.ts';
import { firstMigration, keyMigration } from './key/key-store.ts';
import { passwordMigrations } from './password/password-store.ts';
import { throttleMigrations } from './password/throttle-store.ts';
import { principalMigration } from './principal/principal-store.ts';
import { roleMigration } from './principal/role-store.ts';
import { familyMigrations } from './token/family-store.ts';
import { revocationMigrations } from './token/revocation-store.ts';
import { signingKeyMigrations } from './token/signing-key-store.ts';

export const identityMigrations: readonly Migration[] = [
  firstMigration,
  principalMigration,
  roleMigration,
  keyMigration,
  ...changeMigrations,
  ...passwordMigrations,
  ...throttleMigrations,
  ...auditMigrations,
  ...signingKeyMigrations,
  ...familyMigrations,
  ...revocationMigrations,
];
