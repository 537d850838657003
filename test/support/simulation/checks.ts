import { expect } from 'vitest';
import { parseRateLimit } from '../../../src/lib/routeros/values.ts';
import type { RouterRow } from '../network-world.ts';
import { type Entry, isIsolated, MENU_OF, OUR_MENUS, placeOf } from './office.ts';
import { checkEvents } from './events.ts';
import { markOf, textOf } from './router.ts';
import type { World } from './world.ts';

/** What must be true at the end of every schedule, by the model alone. */

export async function checkAll(world: World): Promise<void> {
  for (const router of world.routers.keys()) {
    await checkStrangers(world, router);
    await checkOurs(world, router, () => true);
    await checkSessions(world, router, () => true);
    await checkDrift(world, router);
  }
  await checkStatuses(world, () => () => true);
  await checkRest(world);
  await checkEvents(world);
}

/** Before anybody asks for a repair: what nobody changed by hand is right by itself. */
export async function checkUntouched(world: World): Promise<void> {
  const isUntouched = (router: number) => {
    const { touched } = world.hands[router]!;
    const leaning = new Map(world.office.expect(router).map(entry => [entry.place, entry.leans_on]));
    return (place: string) => ![place, ...(leaning.get(place) ?? [])].some(each => touched.has(each));
  };
  for (const router of world.routers.keys()) {
    await checkStrangers(world, router);
    await checkOurs(world, router, isUntouched(router));
    await checkSessions(world, router, isUntouched(router));
  }
  await checkStatuses(world, isUntouched);
}

const told = (rows: Iterable<{ menu: string; row: RouterRow }>) =>
  [...rows].map(({ menu, row }) => `${menu} ${JSON.stringify(row)}`).sort();

/** What isn't ours is as it was put by hand. */
export async function checkStrangers(world: World, router: number): Promise<void> {
  const now = await world.routers[router]!.readStrangers();
  const before = world.hands[router]!.strangers;
  expect(told(now.values()), `what isn't ours on router ${router} was changed`).toEqual(told(before.values()));
}

const strangePlaces = (world: World, router: number): ReadonlySet<string> =>
  new Set(Array.from(world.hands[router]!.strangers.values(), ({ menu, row }) => placeOf(menu, row)));

/** Somebody else's entry stands in its place. */
const isTaken = (world: World, router: number, { place }: Entry): boolean => strangePlaces(world, router).has(place);

/** In its own place, or in that of what it leans on. */
const isConflict = (world: World, router: number, entry: Entry): boolean =>
  [entry.place, ...entry.leans_on].some(place => strangePlaces(world, router).has(place));

/** Rates are written in more than one way. */
function readValue(property: string, value: string): string {
  if (property !== 'rate-limit') return value;
  const rate = parseRateLimit(value);
  return rate ? `${rate.rx_bps}/${rate.tx_bps}` : value;
}

const describeRow = (row: RouterRow, entry: Entry | undefined) => ({
  mark: markOf(row),
  ...Object.fromEntries(
    Object.keys(entry?.fields ?? {}).map(property => [property, readValue(property, row[property] ?? '')]),
  ),
});

/** Exactly what the model says stands there with our mark, as the model says. */
async function checkOurs(world: World, router: number, matters: (place: string) => boolean): Promise<void> {
  const expected = world.office.expect(router).filter(entry => !isTaken(world, router, entry) && matters(entry.place));
  const wanted = Object.fromEntries(expected.map(({ place, mark, fields }) => [place, { mark, ...fields }]));
  const find = (place: string) => expected.find(entry => entry.place === place);
  const there: Record<string, object> = {};
  const { texts } = world.hands[router]!;
  for (const menu of OUR_MENUS)
    for (const row of await world.routers[router]!.readOurs(menu)) {
      const place = placeOf(menu, row);
      if (!matters(place)) continue;
      const text = texts.get(`${menu} ${row['.id']}`) ?? '';
      expect(textOf(row), `text before the mark of ${place} on router ${router}`).toBe(text);
      if (find(place) || !world.office.mayStay(place)) there[place] = describeRow(row, find(place));
    }
  expect(there, `what is ours on router ${router}`).toEqual(wanted);
  world.counts.entries += expected.length;
}

/** Nobody is online who may not be, and the isolated only in the walled garden. */
async function checkSessions(world: World, router: number, matters: (place: string) => boolean): Promise<void> {
  const listed = await world.routers[router]!.readAll('/ip/firewall/address-list');
  const entries = world.office.expect(router);
  for (const session of await world.routers[router]!.readAll('/ppp/active')) {
    const place = placeOf('/ppp/secret', session);
    // it came in by somebody else's secret
    if (strangePlaces(world, router).has(place) || !matters(place)) continue;
    const secret = entries.find(entry => entry.place === place);
    const who = `${session.name} is online on router ${router}`;
    expect(secret, `${who}, where it has no line any more`).toBeDefined();
    expect(secret!.fields.disabled, `${who}, and is suspended`).toBe('false');
    // a profile of that name that isn't ours may put nobody on the list
    if (isConflict(world, router, secret!)) continue;
    const its_entries = listed.filter(({ list, address }) => list === 'isolir' && address === session.address);
    // somebody put its address there by hand
    if (its_entries.some(({ dynamic }) => dynamic !== 'true')) continue;
    const is_walled = its_entries.length > 0;
    expect(is_walled, `${who}; in the walled garden`).toBe(isIsolated(secret!.customer!));
  }
}

interface Drift {
  counts: Record<string, number>;
  items: { key: string; state: string }[];
  profiles: { name: string; state: string }[];
  strays: { menu: string; name: string }[];
}

/** What the API says of the router is what the model says. */
async function checkDrift(world: World, router: number): Promise<void> {
  const drift: Drift = await world.askRouter('GET', `/routers/${world.router_ids[router]}/drift`);
  const entries = world.office.expect(router);
  const lines = entries.filter(entry => entry.customer);
  const conflicts = lines.filter(entry => isConflict(world, router, entry));
  world.counts.conflicts += conflicts.length;
  const router_id = world.router_ids[router]!;
  const left = (await readGoing(world)).filter(row => row.router_id === router_id && isLeft(world, row));
  const strays: string[] = [];
  for (const menu of OUR_MENUS)
    for (const row of await world.routers[router]!.readOurs(menu)) {
      const place = placeOf(menu, row);
      if (!entries.some(entry => entry.place === place) && !world.office.mayStay(place)) strays.push(place);
    }
  const seen = {
    counts: drift.counts,
    items: drift.items.map(({ key, state }) => `${key}: ${state}`).sort(),
    strays: drift.strays.map(({ menu, name }) => `${menu} ${name}`).sort(),
  };
  expect(seen, `drift of router ${router}`).toEqual({
    counts: {
      in_sync: lines.length - conflicts.length,
      conflict: conflicts.length + left.length,
      pending: 0,
      missing: 0,
      differs: 0,
      extra: 0,
      failed: 0,
      strays: strays.length,
    },
    items: [...conflicts, ...left].map(({ key }) => `${key}: conflict`).sort(),
    strays: strays.sort(),
  });
  const shared = entries.filter(entry => entry.menu === '/ppp/profile');
  const taken = shared.filter(entry => isTaken(world, router, entry)).map(({ key }) => `${key}: conflict`);
  expect(drift.profiles.map(({ name, state }) => `${name}: ${state}`).sort()).toEqual(taken.sort());
}

/** Each customer's page tells of each of its lines what is true. */
async function checkStatuses(world: World, isTold: (router: number) => (place: string) => boolean): Promise<void> {
  const lines = world.router_ids.flatMap((router_id, router) =>
    world.office
      .expect(router)
      .filter(entry => entry.customer)
      .map(entry => ({ entry, router_id, status: isConflict(world, router, entry) ? 'conflict' : 'in_sync' })),
  );
  const matters = ({ router_id, kind, key }: { router_id: string; kind: keyof typeof MENU_OF; key: string }) =>
    isTold(world.router_ids.indexOf(router_id))(`${MENU_OF[kind]} ${key}`);
  for (const customer of world.office.customers) {
    if (customer.is_deleted) continue;
    const shown: Shown = await world.tenant.get(`/customers/${customer.id}/provisioning`);
    const left = shown.items.filter(item => isLeft(world, item));
    const seen = shown.items.filter(
      item => (item.desired !== null || item.status !== 'in_sync') && matters(item) && !left.includes(item),
    );
    const own = lines
      .filter(({ entry }) => entry.customer === customer)
      .map(({ entry, router_id, status }) => ({ router_id, kind: kindOf(entry), key: entry.key, status }))
      .filter(matters);
    const tell = (item: Shown['items'][number]) => `${item.router_id} ${item.kind} ${item.key}: ${item.status}`;
    expect(seen.map(tell).sort(), `lines of ${customer.code}`).toEqual(own.map(tell).sort());
    if (!shown.items.every(matters)) continue;
    const fallback = shown.items.length > 0 ? 'in_sync' : 'none';
    const is_conflict = left.length > 0 || own.some(({ status }) => status === 'conflict');
    const overall = is_conflict ? 'conflict' : fallback;
    expect(shown.status, `status of ${customer.code}`).toBe(overall);
  }
}

const kindOf = ({ menu }: Entry) =>
  (Object.keys(MENU_OF) as (keyof typeof MENU_OF)[]).find(kind => MENU_OF[kind] === menu)!;

interface Shown {
  status: string;
  items: { router_id: string; kind: keyof typeof MENU_OF; key: string; status: string; desired?: unknown }[];
}

/** Rows of what must be gone, and isn't confirmed to be. */
const readGoing = (world: World) =>
  world.query<Shown['items'][number]>(
    `SELECT router_id, kind, key, status, desired FROM provisioning WHERE desired IS NULL AND status <> 'in_sync'`,
  );

/** It must go, and somebody took its mark off: it stands there as somebody else's until an admin says what is right. */
const isLeft = (world: World, { router_id, kind, key, desired, status }: Shown['items'][number]): boolean =>
  desired === null &&
  status === 'conflict' &&
  strangePlaces(world, world.router_ids.indexOf(router_id)).has(`${MENU_OF[kind]} ${key}`);

/** Rows that show nowhere any more are done with as well; the routers and the bridge are there, and nobody is alarmed. */
async function checkRest(world: World): Promise<void> {
  const left = await readGoing(world);
  expect(
    left.filter(row => !isLeft(world, row)),
    'rows of what must be gone',
  ).toEqual([]);
  const rows = await world.query(`SELECT status FROM routers UNION ALL SELECT status FROM bridges`);
  expect(
    rows.map(({ status }) => status),
    'routers and bridge',
  ).toEqual([...world.router_ids, world.bridge_id].map(() => 'online'));
  expect(await world.query(`SELECT type, message FROM alerts WHERE status <> 'resolved'`), 'open alerts').toEqual([]);
}
