// What every client is asked to do, in this order; each step says what went wrong or nothing.
import { IDENTITY, NAMES, ODD_NAME, PASSWORD, UTF8_COMMENT } from './router.ts';
import type { Router, Row } from './router.ts';
import { Talker } from './talker.ts';
import type { Request } from './talker.ts';

interface Scene {
  router: Router;
  talker: Talker;
  /** The id of the secret the story adds. */
  id: string;
}

const MENU = '/ppp/secret';
const NAME = 'dewi baru 1';
const EQUALS_COMMENT = '=a=b = "c"; \\ d=';
// Within Windows-1252, so that a client of that character set has its chance.
const TEXT_COMMENT = 'Désa “Ngarai” – 50% ü';
const LONG_COMMENT = 'Jl. Kenanga 12, '.repeat(400).trimEnd();

const print = (queries?: Record<string, string>, fields?: string): Request => ({
  command: `${MENU}/print`,
  attributes: fields === undefined ? {} : { '.proplist': fields },
  queries,
});

async function ask(scene: Scene, request: Request): Promise<Row[]> {
  const { rows, trap } = await scene.talker.ask(request);
  if (rows === undefined) throw new Error(`refused: ${trap ?? 'without a word'}`);
  return rows;
}

async function provoke(scene: Scene, request: Request, message: string): Promise<void> {
  const { trap } = await scene.talker.ask(request);
  if (trap === undefined || !trap.includes(message)) throw differ('the trap', trap, message);
}

const differ = (what: string, got: unknown, wanted: unknown) =>
  new Error(`${what} is ${abbreviate(got)} and not ${abbreviate(wanted)}`);
const abbreviate = (value: unknown) => {
  const text = JSON.stringify(value) ?? 'missing';
  return text.length > 60 ? `${text.slice(0, 57)}… (${text.length} long)` : text;
};

// Clients that make Python's or JavaScript's values of the router's words are right too.
const expect = (what: string, got: unknown, wanted: string) => {
  if (String(got ?? '') !== wanted) throw differ(what, got, wanted);
};

async function readHeld(scene: Scene): Promise<Record<string, string>> {
  const row = (await scene.router.rows(MENU)).find(secret => secret.name === NAME);
  if (row === undefined) throw new Error('the router does not have the secret');
  return row;
}

async function readSeen(scene: Scene): Promise<Row> {
  const rows = await ask(scene, print({ name: NAME }));
  if (rows.length !== 1) throw differ('the number of rows', rows.length, 1);
  return rows[0] ?? {};
}

async function setComment(scene: Scene, comment: string): Promise<void> {
  await ask(scene, { command: `${MENU}/set`, attributes: { '.id': scene.id, comment } });
  expect('the comment the router holds', (await readHeld(scene)).comment, comment);
  expect('the comment the client reads', (await readSeen(scene)).comment, comment);
}

const checkIdentity = async (scene: Scene) => {
  const [row] = await ask(scene, { command: '/system/identity/print' });
  expect('the identity', row?.name, IDENTITY);
};

export const STEPS: Record<string, (scene: Scene) => Promise<void>> = {
  'sign in': async ({ talker }) => {
    const { refused } = await talker.start();
    if (refused !== undefined) throw new Error(`refused: ${refused}`);
  },
  identity: checkIdentity,
  resource: async scene => {
    const [row] = await ask(scene, { command: '/system/resource/print' });
    if (!String(row?.version).startsWith(scene.router.version))
      throw differ('the version', row?.version, scene.router.version);
  },
  list: async scene => {
    const rows = await ask(scene, print());
    expect('the number of rows', rows.length, String(NAMES.length));
    for (const name of NAMES.filter(each => each !== ODD_NAME)) {
      if (!rows.some(row => row.name === name))
        throw differ(
          'the list of names',
          rows.map(row => row.name),
          NAMES,
        );
    }
  },
  'utf-8': async scene => {
    const rows = await ask(scene, print({ name: 'siti' }));
    expect('the comment', rows[0]?.comment, UTF8_COMMENT);
  },
  query: async scene => {
    const rows = await ask(scene, print({ name: 'pak joko' }));
    if (rows.length !== 1) throw differ('the number of rows', rows.length, 1);
    expect('disabled', rows[0]?.disabled, 'true');
  },
  'query, =': async scene => {
    const rows = await ask(scene, print({ name: ODD_NAME }));
    if (rows.length !== 1) throw differ('the number of rows', rows.length, 1);
    expect('the name', rows[0]?.name, ODD_NAME);
  },
  proplist: async scene => {
    const rows = await ask(scene, print({}, '.id,name'));
    const fields = new Set(rows.flatMap(row => Object.keys(row)).map(key => key.replace('.', '')));
    expect('the fields', [...fields].sort().join(), 'id,name');
    expect('the number of rows', rows.length, String(NAMES.length));
  },
  empty: async scene => {
    const rows = await ask(scene, print({ name: 'nobody' }));
    if (rows.length > 0) throw differ('the number of rows', rows.length, 0);
    await checkIdentity(scene);
  },
  add: async scene => {
    const attributes = { name: NAME, password: PASSWORD, profile: '10M', service: 'pppoe' };
    const [row] = await ask(scene, { command: `${MENU}/add`, attributes });
    const held = await readHeld(scene);
    scene.id = held['.id'] ?? '';
    for (const [field, value] of Object.entries(attributes)) expect(`the ${field} held`, held[field], value);
    const ret = row?.ret ?? row?.['.id'] ?? row?.id;
    if (ret !== undefined) expect('the id the client was told', ret, scene.id);
    expect('the name the client reads', (await readSeen(scene)).name, NAME);
  },
  'set, =': scene => setComment(scene, EQUALS_COMMENT),
  'set, text': scene => setComment(scene, TEXT_COMMENT),
  disable: async scene => {
    await ask(scene, { command: `${MENU}/disable`, attributes: { '.id': scene.id } });
    expect('disabled as held', (await readHeld(scene)).disabled, 'true');
    expect('disabled as read', (await readSeen(scene)).disabled, 'true');
  },
  'set, long': scene => setComment(scene, LONG_COMMENT),
  duplicate: async scene => {
    const attributes = { name: NAME, password: 'x' };
    await provoke(scene, { command: `${MENU}/add`, attributes }, 'secret with the same name already exists');
    await checkIdentity(scene);
  },
  remove: async scene => {
    await ask(scene, { command: `${MENU}/remove`, attributes: { '.id': scene.id } });
    const names = (await scene.router.rows(MENU)).map(secret => secret.name);
    expect('the names held', names.join(), NAMES.join());
  },
  'no such command': async scene => {
    await provoke(scene, { command: `${MENU}/juggle` }, 'no such command');
    await checkIdentity(scene);
  },
};

export const WRONG_PASSWORD = 'wrong password';

/** A message for each step that failed; the next one is then played on a new connection. */
export async function tellStory(
  argv: string[],
  router: Router,
  env: Record<string, string> = {},
): Promise<Map<string, string>> {
  const failures = new Map<string, string>();
  const scene: Scene = { router, talker: new Talker(argv, router, PASSWORD, env), id: '' };
  for (const [step, play] of Object.entries(STEPS)) {
    try {
      await play(scene);
    } catch (error) {
      failures.set(step, error instanceof Error ? error.message : String(error));
      if (step === 'sign in') break;
      // what a client has got out of step does not count against the steps that follow
      scene.talker.stop();
    }
  }
  scene.talker.stop();
  const stranger = new Talker(argv, router, `${PASSWORD}!`, env);
  await stranger.start().then(
    answer => answer.refused === undefined && failures.set(WRONG_PASSWORD, 'it was let in'),
    (error: Error) => failures.set(WRONG_PASSWORD, error.message),
  );
  stranger.stop();
  return failures;
}
