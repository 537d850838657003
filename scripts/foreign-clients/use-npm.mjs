// A client from npm behind the runner's line protocol: node use-npm.mjs PACKAGE FOLDER. Requests come as JSON lines,
// answers go out as JSON lines that begin with @, since some clients print on their own account.
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { NPM_CLIENTS } from './npm-clients.mjs';

const [name, folder] = process.argv.slice(2);
const load = createRequire(`${folder}/package.json`);
const { HOST: host, PORT, LOGIN_USER: user, LOGIN_PASSWORD: password, MODE } = process.env;
const port = Number(PORT);
const anonymous = { ciphers: 'aNULL:@SECLEVEL=0', maxVersion: 'TLSv1.2', rejectUnauthorized: false };
const tls = MODE === 'tls' ? { rejectUnauthorized: false } : MODE === 'adh' ? anonymous : undefined;
const say = answer => process.stdout.write(`@${JSON.stringify(answer)}\n`);
// routeros-client's rows carry the menu they came from
const clean = rows => rows.map(({ $$path: _, ...row }) => row);
const describe = error => (error?.message ? String(error.message) : (JSON.stringify(error) ?? String(error)));
const talk = await NPM_CLIENTS[name]({ name, load, host, port, user, password, tls }).catch(error => {
  say({ refused: describe(error) });
  process.exit(0);
});
say({ ready: true });
for await (const line of createInterface({ input: process.stdin })) {
  await talk(JSON.parse(line)).then(
    answer => say({ rows: clean([answer].flat().filter(Boolean)) }),
    error => say({ trap: describe(error) }),
  );
}
process.exit(0);
