import fc from 'fast-check';

/**
 * What can happen in a schedule. A step names things by small numbers (customer 0, router 1), so that it means something
 * whatever was left out before it; one that makes no sense at its moment does nothing, or is refused.
 */

export const ROUTERS = 2;
/** The last one holds its lines by simple queues. */
export const PLANS = 3;
/** PPPoE names of a schedule: few, so that one that somebody had is soon wanted again. */
export const NAMES = ['budi', 'siti', 'agus', 'dewi'] as const;
const MOST_CUSTOMERS = 5;

const router = fc.nat(ROUTERS - 1);
const plan = fc.nat(PLANS - 1);
const name = fc.nat(NAMES.length - 1);
/** Of the names that are free, twice as often as of all. */
const wish = fc.nat(11);
const who = fc.nat(MOST_CUSTOMERS - 1);
/** One of those that stand there now. */
const nth = fc.nat(5);
const kbps = fc.constantFrom(512, 1_000, 5_000, 20_000, 100_000);
const octet = fc.integer({ min: 2, max: 9 });
const password = fc.constantFrom('rahasia', 'benar kuda', 'a=b"c\\d', 'ピアノ', '#1;x');
const text = fc.constantFrom('antena di atap', 'pak RT, jangan dicabut', 'rukun', 'bayar = tunai');

/** `{ do: 'suspend', who: 1 }` with its parts drawn from what is given. */
const step = <D extends string, P extends Record<string, unknown>>(
  name_of_step: D,
  parts: { [K in keyof P]: fc.Arbitrary<P[K]> },
) => fc.record({ do: fc.constant(name_of_step), ...parts }) as fc.Arbitrary<{ do: D } & P>;

/** By staff, through the API. */
const by_people = [
  {
    weight: 2,
    arbitrary: step('add', {
      plan,
      router,
      name: wish,
      password,
      octet: fc.option(octet),
      is_static: fc.constantFrom(false, false, true),
    }),
  },
  { weight: 10, arbitrary: step('carry on', { who }) },
  { weight: 1, arbitrary: step('activate', { who }) },
  { weight: 2, arbitrary: step('suspend', { who }) },
  { weight: 1, arbitrary: step('resume', { who }) },
  { weight: 4, arbitrary: step('terminate', { who }) },
  { weight: 1, arbitrary: step('reactivate', { who }) },
  { weight: 1, arbitrary: step('delete', { who }) },
  { weight: 3, arbitrary: step('put on plan', { who, plan }) },
  { weight: 2, arbitrary: step('change speed', { plan, down: kbps, up: kbps }) },
  { weight: 5, arbitrary: step('rename', { who, name: wish }) },
  { weight: 2, arbitrary: step('set password', { who, password }) },
  { weight: 3, arbitrary: step('set address', { who, octet: fc.option(octet, { freq: 1 }) }) },
  { weight: 5, arbitrary: step('move', { who, router }) },
  {
    weight: 6,
    arbitrary: step('set policy', {
      policy: fc.constantFrom('isolir' as const, 'isolir' as const, 'disable' as const),
    }),
  },
  { weight: 3, arbitrary: step('set isolir rate', { down: kbps, up: kbps }) },
  { weight: 2, arbitrary: step('sync', { who }) },
  { weight: 2, arbitrary: step('reconcile', { router, mode: fc.constantFrom('report' as const, 'repair' as const) }) },
  { weight: 1, arbitrary: step('switch', { router, on: fc.boolean() }) },
];

const STRANGER_MENUS = [
  '/ppp/secret',
  '/ppp/profile',
  '/queue/simple',
  '/ip/firewall/address-list',
  '/ip/pool',
] as const;
export type StrangerMenu = (typeof STRANGER_MENUS)[number];
const menu = fc.constantFrom(...STRANGER_MENUS);

/** By hand, on the router's own console. `nth` counts what is marked as ours there, or what isn't. */
const by_hand = [
  { weight: 2, arbitrary: step('remove secret', { router, nth }) },
  { weight: 2, arbitrary: step('put secret on another profile', { router, nth }) },
  { weight: 3, arbitrary: step('disable secret', { router, nth }) },
  { weight: 2, arbitrary: step('enable secret', { router, nth }) },
  { weight: 1, arbitrary: step('change secret password', { router, nth }) },
  { weight: 2, arbitrary: step('write on secret', { router, nth, text }) },
  { weight: 1, arbitrary: step('take mark off secret', { router, nth, text: fc.option(text) }) },
  { weight: 2, arbitrary: step('remove queue or listed address', { router, nth }) },
  { weight: 2, arbitrary: step('disable queue or listed address', { router, nth }) },
  { weight: 1, arbitrary: step('change queue rate', { router, nth }) },
  { weight: 1, arbitrary: step('change profile rate', { router, nth }) },
  { weight: 1, arbitrary: step('remove profile', { router, nth }) },
  { weight: 1, arbitrary: step('take mark off profile', { router, nth }) },
  { weight: 3, arbitrary: step('add stranger', { router, menu, name, text: fc.option(text) }) },
  { weight: 1, arbitrary: step('change stranger', { router, nth }) },
  { weight: 1, arbitrary: step('remove stranger', { router, nth }) },
];

const trouble = fc.oneof(
  fc.constant('refuses' as const),
  fc.constant('is silent' as const),
  fc.constant('cuts after a write' as const),
  fc.constant('cuts after two writes' as const),
  fc.constant('is gone after a write' as const),
  fc.constant('is slow' as const),
  fc.constant('answers in crumbs' as const),
  fc.constant('hides passwords' as const),
  fc.constant('lets nobody write' as const),
  fc.constant('is well' as const),
);
export type Trouble = typeof trouble extends fc.Arbitrary<infer T> ? T : never;

/** What nobody decides: the network, the machines, the queue, the subscribers. */
const by_fate = [
  { weight: 7, arbitrary: step('router trouble', { router, trouble }) },
  { weight: 1, arbitrary: step('router drops connections', { router }) },
  { weight: 1, arbitrary: step('router reboots', { router }) },
  { weight: 1, arbitrary: step('bridge restarts', { how: fc.constantFrom('stop' as const, 'kill' as const) }) },
  { weight: 2, arbitrary: step('bridge is killed at work', { after_ms: fc.nat(30), routers_gone: fc.boolean() }) },
  { weight: 2, arbitrary: step('bridge reachable', { is: fc.boolean() }) },
  { weight: 3, arbitrary: step('lose answers', { count: fc.integer({ min: 1, max: 2 }) }) },
  { weight: 5, arbitrary: step('delay requests', { count: fc.integer({ min: 1, max: 2 }) }) },
  { weight: 4, arbitrary: step('delayed requests arrive', { newest_first: fc.boolean() }) },
  { weight: 2, arbitrary: step('repeat an old request', { nth }) },
  { weight: 3, arbitrary: step('hold requests', { count: fc.integer({ min: 1, max: 2 }) }) },
  { weight: 3, arbitrary: step('held requests go on', {}) },
  {
    weight: 12,
    arbitrary: step('handle messages', { how: fc.constantFrom('in order' as const, 'backwards' as const) }),
  },
  { weight: 2, arbitrary: step('handle messages', { how: fc.constant('three times each, at once' as const) }) },
  { weight: 1, arbitrary: step('lose messages', {}) },
  { weight: 3, arbitrary: step('time passes', {}) },
  { weight: 1, arbitrary: step('sweep', {}) },
  { weight: 7, arbitrary: step('dial in', { router, nth }) },
  { weight: 1, arbitrary: step('hang up', { router, nth }) },
];

const any_step = fc.oneof(...by_people, ...by_hand, ...by_fate);
type Drawn<G extends { arbitrary: unknown }> = G['arbitrary'] extends infer A ? DrawnFrom<A> : never;
type DrawnFrom<A> = A extends fc.Arbitrary<infer S> ? S : never;
export type PeopleStep = Drawn<(typeof by_people)[number]>;
export type HandStep = Drawn<(typeof by_hand)[number]>;
export type FateStep = Drawn<(typeof by_fate)[number]>;
export type Step = PeopleStep | HandStep | FateStep;
/** One kind of step: `StepOf<'suspend'>`. */
export type StepOf<D extends Step['do']> = Extract<Step, { do: D }>;

const doesOf = (group: readonly { arbitrary: fc.Arbitrary<{ do: string }> }[]): ReadonlySet<string> =>
  new Set(group.map(({ arbitrary }) => fc.sample(arbitrary, 1)[0]!.do));
const GROUPS = { people: doesOf(by_people), hand: doesOf(by_hand), fate: doesOf(by_fate) };
export const isStep = (taken: { do: string }): taken is Step =>
  Object.values(GROUPS).some(group => group.has(taken.do));
export const isByHand = (taken: Step): taken is HandStep => GROUPS.hand.has(taken.do);
export const isByFate = (taken: Step): taken is FateStep => GROUPS.fate.has(taken.do);

export const schedules = fc.array(any_step, { minLength: 12, maxLength: 45, size: 'max' });

/** `router trouble: router 1, refuses`: a step as a person reads it. */
export function tellStep({ do: what, ...parts }: Step): string {
  const told = Object.entries(parts).map(([key, value]) => `${key} ${JSON.stringify(value)}`);
  return told.length === 0 ? what : `${what}: ${told.join(', ')}`;
}
