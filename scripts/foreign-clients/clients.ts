// The clients: where each is found on this machine, how it is run, and what is known to be wrong with it itself.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Mode } from './router.ts';

export interface Fault {
  step: string;
  modes?: readonly Mode[];
  /** From this RouterOS version on. */
  since?: string;
  before?: string;
  reason: string;
}

export interface Client {
  name: string;
  /** Ansible is no client to talk to: it plays its own story. */
  is_ansible?: true;
  get: string;
  modes: readonly Mode[];
  /** Its version, or null where it isn't on this machine. */
  find(sources: string): string | null;
  /** The command that runs its use-script; may build it first. */
  prepare(sources: string, work: string): string[];
  faults: readonly Fault[];
  env?(mode: Mode): Record<string, string>;
}

const HERE = import.meta.dirname;
const ALL: readonly Mode[] = ['plain', 'old', 'tls', 'adh'];
/** Only the login of RouterOS 6.43 and later. */
const NEW: readonly Mode[] = ['plain', 'tls', 'adh'];
const script = (name: string) => path.join(HERE, name);
const has = (program: string) => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
const PYTHON = '/usr/bin/python3';
const GO = ['/usr/lib/go-1.24/bin/go', '/usr/lib/go-1.23/bin/go', '/usr/lib/go-1.22/bin/go', 'go'];

export function askDebian(name: string): string | null {
  const { stdout, status } = spawnSync('dpkg-query', ['-W', '-f', '${Version}', name], { encoding: 'utf8' });
  return status === 0 && stdout !== '' ? stdout : null;
}

function npm(name: string, modes: readonly Mode[], faults: Fault[] = []): Client {
  return {
    name,
    modes,
    faults,
    get: `npm install --prefix SOURCES/npm ${name}`,
    find: sources => {
      const file = path.join(sources, 'npm/node_modules', name, 'package.json');
      return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version : null;
    },
    prepare: sources => [process.execPath, '--no-warnings', script('use-npm.mjs'), name, path.join(sources, 'npm')],
  };
}

interface Source {
  name: string;
  folder: string;
  file: string;
  needs: string;
  get: string;
  version: string;
  modes: readonly Mode[];
  argv: (folder: string) => string[];
  faults?: Fault[];
  env?: Client['env'];
}

function source({ name, folder, file, needs, get, version, modes, argv, faults = [], env }: Source): Client {
  return {
    name,
    modes,
    faults,
    env,
    get: `${get} as SOURCES/${folder}/${file}; ${needs}`,
    find: sources => (has(needs) && existsSync(path.join(sources, folder, file)) ? version : null),
    prepare: sources => argv(path.join(sources, folder)),
  };
}

const SINCE_EMPTY = '7.18';
const IN_PHP = "parseResponse() cuts a word at every '=' and keeps only what stands between the first two";
const phpFaults: Fault[] = [
  { step: 'query, =', reason: IN_PHP },
  { step: 'set, =', reason: IN_PHP },
];
const IN_MTIK = "talk()'s pattern is greedy: a value that holds a = goes into the name, up to its last =";
const mtikFaults: Fault[] = ['query, =', 'proplist', 'set, ='].map(step => ({ step, reason: IN_MTIK }));
const IN_WIN1252 = 'Transmitter and Receiver know only Windows-1252; the router keeps the bytes as they came';
const win1252Faults: Fault[] = ['utf-8', 'set, text'].map(step => ({ step, reason: IN_WIN1252 }));
const unknownEmpty = (reason: string): Fault => ({ step: 'empty', since: SINCE_EMPTY, reason });
const NODE_EMPTY = unknownEmpty(
  'Channel.processPacket() throws UNKNOWNREPLY at !empty (node-red-contrib-mikrotik #95)',
);
const splits = (where: string): Fault[] =>
  ['query, =', 'set, ='].map(step => ({ step, reason: `${where} cuts a value at its first =` }));

const librouteros: Client = {
  name: 'librouteros (Python)',
  modes: ALL,
  faults: [],
  get: 'apt-get install python3-librouteros',
  find: () => askDebian('python3-librouteros'),
  prepare: () => [PYTHON, script('use-librouteros.py')],
};

const go: Client = {
  name: 'go-routeros (Go)',
  modes: ['plain', 'old', 'tls'],
  faults: [unknownEmpty('Reply.processSentence() does not know !empty, though listen.go does')],
  get: 'the .go files of go-routeros/routeros v3 and its proto/ under SOURCES/go-routeros; Go 1.21 or later',
  find: sources => (findGo() !== null && existsSync(path.join(sources, 'go-routeros/client.go')) ? 'v3' : null),
  prepare: (sources, work) => {
    const folder = path.join(work, 'go');
    const library = path.join(sources, 'go-routeros');
    const build = `mkdir -p "${folder}" && cp "${script('use.go')}" "${folder}/main.go" && cd "${folder}" && printf '%s\\n' \
      'module use' 'go 1.21' 'require github.com/go-routeros/routeros/v3 v3.0.0' \
      'replace github.com/go-routeros/routeros/v3 => ${library}' > go.mod && "${findGo()}" build -o use .`;
    const { status, stderr } = spawnSync('sh', ['-c', build], {
      encoding: 'utf8',
      env: { ...process.env, GOFLAGS: '-mod=mod', GOTOOLCHAIN: 'local' },
    });
    if (status !== 0) throw new Error(`could not build use.go: ${stderr}`);
    return [path.join(folder, 'use')];
  },
};

function findGo(): string | null {
  return (
    GO.find(program => /go1\.2[1-9]/.test(spawnSync(program, ['version'], { encoding: 'utf8' }).stdout ?? '')) ?? null
  );
}

const noSecurityLevel = (mode: Mode): Record<string, string> =>
  mode === 'adh' ? { OPENSSL_CONF: script('anonymous-tls.cnf') } : {};

const sources: Client[] = [
  source({
    name: 'Mikhmon (PHP)',
    folder: 'mikhmon',
    file: 'routeros_api.class.php',
    get: 'lib/routeros_api.class.php of laksa19/mikhmonv3',
    needs: 'php',
    version: 'class 1.6',
    modes: ALL,
    faults: phpFaults,
    env: mode => noSecurityLevel(mode),
    argv: folder => ['php', script('use.php'), path.join(folder, 'routeros_api.class.php')],
  }),
  source({
    name: 'BenMenking (PHP)',
    folder: 'BenMenking',
    file: 'routeros_api.class.php',
    get: 'routeros_api.class.php of BenMenking/routeros-api',
    needs: 'php',
    version: 'class 1.6',
    modes: ['old'],
    faults: phpFaults,
    argv: folder => ['php', script('use.php'), path.join(folder, 'routeros_api.class.php')],
  }),
  source({
    name: 'Mtik.pm (Perl)',
    folder: 'Mtik-old',
    file: 'Mtik.pm',
    get: 'Mtik.pm of pamribeirox/mikrotik-perl-api',
    needs: 'perl',
    version: '0.01',
    modes: ['old'],
    faults: mtikFaults,
    argv: folder => ['perl', script('use-mtik.pl'), folder],
  }),
  source({
    name: 'Mtik.pm 6.43 (Perl)',
    folder: 'Mtik-new',
    file: 'Mtik.pm',
    get: 'Mtik.pm of helioz2000/mikrotik-perl-api',
    needs: 'perl',
    version: '0.01',
    modes: ['plain'],
    faults: [
      ...mtikFaults,
      { step: 'set, long', reason: 'read_len() takes the first byte for the length of every long word' },
    ],
    argv: folder => ['perl', script('use-mtik.pl'), folder],
  }),
  source({
    name: 'MikroTik::API (Perl)',
    folder: 'MikroTik-API',
    file: 'MikroTik/API.pm',
    get: 'lib/MikroTik/API.pm of martin8883/MikroTik-API',
    needs: 'perl',
    version: '1.0.3',
    modes: ['old'],
    argv: folder => ['perl', script('use-mikrotik-api.pl'), folder],
  }),
  source({
    name: 'apiros.py (Python)',
    folder: 'apiros',
    file: 'apiros.py',
    get: "MikroTik's own example, e.g. apiros.py of MrCirca/zabbix-routeros-bgp",
    needs: PYTHON,
    version: 'wiki',
    modes: ['old'],
    argv: folder => [PYTHON, '-W', 'ignore', script('use-apiros.py'), folder],
  }),
  source({
    name: 'RouterOS-api (Python)',
    folder: 'RouterOS-api',
    file: 'routeros_api/api.py',
    get: 'routeros_api/ of socialwifi/RouterOS-api',
    needs: PYTHON,
    version: '0.17',
    modes: ALL,
    faults: [unknownEmpty('sentence.py did not know !empty before their pull request 103')],
    argv: folder => [PYTHON, '-W', 'ignore', script('use-routeros-api.py'), folder],
  }),
  source({
    name: 'mtik (Ruby)',
    folder: 'mtik',
    file: 'lib/mtik/connection.rb',
    get: 'lib/ of astounding/mtik',
    needs: 'ruby',
    version: '4.0',
    modes: ['plain', 'old', 'tls'],
    argv: folder => ['ruby', '-W0', '-I', path.join(folder, 'lib'), script('use-mtik.rb')],
  }),
];

const OLD_NODE = ['/usr/bin/node', '/usr/local/bin/node'].find(program =>
  /^v(1\d|20)\./.test(spawnSync(program, ['--version'], { encoding: 'utf8' }).stdout ?? ''),
);
const by_npm = npm('mikrotik-node', NEW, [unknownEmpty('the parser does not know !empty: it waits for ever')]);
/** Its dependency esm 3.2.25 does not load in a later Node. */
const mikrotikNode: Client = {
  ...by_npm,
  get: `${by_npm.get}; Node 20 or older as /usr/bin/node`,
  find: sources => (OLD_NODE === undefined ? null : by_npm.find(sources)),
  prepare: (sources, work) => [OLD_NODE ?? 'node', ...by_npm.prepare(sources, work).slice(1)],
};

const ansible: Client = {
  name: 'Ansible community.routeros',
  is_ansible: true,
  modes: NEW,
  faults: [],
  get: 'apt-get install ansible python3-librouteros',
  find: () => (askDebian('python3-librouteros') === null ? null : askDebian('ansible')),
  prepare: () => [],
};

export const CLIENTS: readonly Client[] = [
  librouteros,
  ansible,
  ...sources,
  go,
  npm('node-routeros', ALL, [NODE_EMPTY, ...win1252Faults]),
  npm('routeros-client', ALL, [NODE_EMPTY, ...win1252Faults]),
  npm('routeros-api', ALL, win1252Faults),
  npm('mikronode', ['old']),
  mikrotikNode,
  npm('mikronode-ng', ['old']),
  npm('mikronode-ng2', NEW),
  npm('mikrotik', ['old']),
  npm(
    'mikro-routeros',
    ['plain'],
    [{ step: 'proplist', reason: 'runQuery() sends everything it is given with a print as a query' }],
  ),
  npm(
    'ros-client',
    ['plain', 'tls'],
    [{ step: 'set, long', reason: '_writeLength() writes 7-bit groups, which RouterOS does not use' }],
  ),
  npm('routeros-node', NEW, [
    ...splits('the reader'),
    { step: 'set, long', reason: 'useSentenceParser() counts the length itself as one byte' },
  ]),
  npm('mikroapi', NEW, [
    ...splits('ondata()'),
    ...['list', 'utf-8', 'set, text', 'set, long'].map(step => ({
      step,
      reason: 'it counts characters for bytes, and takes a chunk for a whole word',
    })),
  ]),
];
