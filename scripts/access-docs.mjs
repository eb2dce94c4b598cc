// Writes docs/access.md, who may call what, from the contracts and the built-in roles (compiled first). With --check it
// fails when what is committed differs.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { accessMatrix, BUILT_IN_ROLES } from '../dist/identity/context.js';
import { readPolicies } from '../dist/rpc/policies.js';

const text = `# Who may call what

Every RPC, the permission it needs, and the built-in roles that have it. Generated from the contracts; roles of your own are
made with \`UserService/PutRole\`, and \`UserService/ExplainAccess\` says why somebody may or may not call something. What a
role allows is not all: commands on what belongs to somebody else may need a further permission, as their contract says.

${accessMatrix(readPolicies(), BUILT_IN_ROLES)}`;
const file = fileURLToPath(new URL('../docs/access.md', import.meta.url));
if (!process.argv.includes('--check')) writeFileSync(file, text);
else if (readFileSync(file, 'utf8') !== text) {
  console.error('docs/access.md is stale (run npm run gen)');
  process.exitCode = 1;
}
