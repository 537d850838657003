import type { RouterRow } from '../network-world.ts';
import { NAMES, type PeopleStep, type StepOf } from './steps.ts';

/**
 * The model, on one page: what the office did, and what each router must hold because of it. It knows nothing of the
 * code under test, of its tables or of when it reaches a router.
 *
 * - An active customer has a secret on the router it is assigned to, with its name and password, on its plan's profile.
 * - A suspended one has it disabled, or on the isolir profile without an address of its own: as the policy was when it was
 *   suspended. Nobody else has any.
 * - A profile stands where a secret needs it, with the rate of now. Where none does any more it may stay behind.
 * - A static line has no secret and needs an address; suspended, its address stands on the isolir list, whatever the policy.
 * - On the queued plan a line has a queue of its own at the plan's rate, suspended or not, and its profile has none: it
 *   needs an address.
 * - Names, and addresses on one router, are unique among those who are not terminated and not deleted.
 */

export const POLICIES = ['disable', 'isolir'] as const;
export type Policy = (typeof POLICIES)[number];

export interface Plan {
  id: string;
  profile_name: string;
  is_queued: boolean;
  down_kbps: number;
  up_kbps: number;
}

export interface Customer {
  id: string;
  code: string;
  status: 'pending_activation' | 'active' | 'suspended' | 'terminated';
  is_deleted: boolean;
  suspended_by: Policy | null;
  plan: number;
  router: number;
  is_static: boolean;
  name: string;
  password: string;
  static_ip: string | null;
}

/** Menus in which something of ours may stand, and what tells two entries of one menu apart. */
export const OUR_MENUS = ['/ppp/secret', '/ppp/profile', '/queue/simple', '/ip/firewall/address-list'] as const;
export type OurMenu = (typeof OUR_MENUS)[number];
const KEYS: Record<string, (row: RouterRow) => string> = {
  '/ip/firewall/address-list': row => `${row.list} ${row.address}`,
};
/** What a row of desired state is called by the API, and where it stands. */
export const MENU_OF = {
  ppp_secret: '/ppp/secret',
  simple_queue: '/queue/simple',
  address_list: '/ip/firewall/address-list',
} as const;

/** `/ppp/secret budi`: where on a router an entry stands. */
export const placeOf = (menu: string, row: RouterRow): string => `${menu} ${KEYS[menu]?.(row) ?? row.name}`;

/** What must stand on a router. Another kind of entry is a menu above and a line in `KINDS`. */
export interface Entry {
  menu: OurMenu;
  place: string;
  /** Of its row of desired state, where it has one of its own. */
  key: string;
  /** At the end of its comment. */
  mark: string;
  /** Properties that must be so; '' is unset. */
  fields: RouterRow;
  /** Whose line it is; null: shared. */
  customer: Customer | null;
  /** Places that it can't do without: somebody else's entry there is a conflict for this one too. */
  leans_on: string[];
}

/** What the office decides by itself; the other steps of people ask a router. */
export type OfficeStep = Exclude<PeopleStep, { do: 'sync' | 'reconcile' | 'switch' }>;

/** A call to the API, whether it must be granted, and what is true once it was. */
export interface Wish {
  method: string;
  path: string;
  body?: unknown;
  is_allowed: boolean;
  note(data: any): void;
}

const MOST_CUSTOMERS = 5;
const ISOLIR = { profile: 'isolir', list: 'isolir', mark: 'rukun:isolir' };
const addressOf = (octet: number | null) => (octet === null ? null : `10.20.0.${octet}`);
/** RouterOS names the customer's upload first. */
const rateOf = (up_kbps: number, down_kbps: number) => `${up_kbps * 1000}/${down_kbps * 1000}`;

export class Office {
  readonly prefix: string;
  readonly router_ids: readonly string[];
  readonly plans: Plan[] = [];
  readonly customers: Customer[] = [];
  policy: Policy = 'disable';
  isolir_rate = rateOf(64, 64);

  constructor(prefix: string, router_ids: readonly string[]) {
    this.prefix = prefix;
    this.router_ids = router_ids;
  }

  nameOf(at: number): string {
    return `${this.prefix}-${NAMES[at]}`;
  }

  /** Mostly one that is free. */
  chooseName(wish: number): string {
    const all = NAMES.map((_, at) => this.nameOf(at));
    const free = all.filter(name => this.isNameFree(name));
    const list = [...free, ...free, ...all];
    return list[wish % list.length]!;
  }

  find(who: number): Customer | undefined {
    return this.customers[who % Math.max(1, this.customers.length)];
  }

  /** Null: there is nobody to do it to. */
  decide(step: OfficeStep): Wish | null {
    if (step.do === 'add') return this.customers.length < MOST_CUSTOMERS ? this.#add(step) : null;
    if (step.do === 'change speed') return this.#changeSpeed(step);
    if (step.do === 'set policy') {
      const note = () => void (this.policy = step.policy);
      return { method: 'PUT', path: '/settings', body: { suspension_policy: step.policy }, is_allowed: true, note };
    }
    if (step.do === 'set isolir rate') {
      const body = { isolir_download_kbps: step.down, isolir_upload_kbps: step.up };
      const note = () => void (this.isolir_rate = rateOf(step.up, step.down));
      return { method: 'PUT', path: '/settings', body, is_allowed: true, note };
    }
    const customer = this.find(step.who);
    if (!customer) return null;
    const wish = decideFor(this, customer, step.do === 'carry on' ? { ...step, do: NEXT[customer.status] } : step);
    const after = { ...customer, ...wish.change };
    const takes_address =
      after.static_ip !== customer.static_ip || after.router !== customer.router || customer.status === 'terminated';
    const is_free =
      !takes_address || after.status === 'terminated' || this.isAddressFree(after.static_ip, after.router, customer);
    const is_allowed = wish.is_allowed && !customer.is_deleted && is_free && this.hasItsAddress(after);
    return { ...wish, is_allowed, note: () => void Object.assign(customer, wish.change) };
  }

  isNameFree(name: string, except?: Customer): boolean {
    return !this.customers.some(
      other => other !== except && other.name === name && other.status !== 'terminated' && !other.is_deleted,
    );
  }

  /** Of another line on that router. */
  isAddressFree(static_ip: string | null, router: number, except?: Customer): boolean {
    return !this.customers.some(
      other =>
        static_ip !== null &&
        other !== except &&
        other.static_ip === static_ip &&
        other.router === router &&
        other.status !== 'terminated' &&
        !other.is_deleted,
    );
  }

  /** A static line, and one on the queued plan, need an address. */
  hasItsAddress(customer: Customer): boolean {
    const needs_one = customer.is_static || this.plans[customer.plan]!.is_queued;
    return !hasLine(customer) || !needs_one || customer.static_ip !== null;
  }

  #add({ plan, router, name: wish, password, octet, is_static }: StepOf<'add'>): Wish {
    const name = this.chooseName(wish);
    const static_ip = addressOf(octet ?? (is_static ? 2 : null));
    const fields = {
      connection_type: is_static ? 'static' : 'pppoe',
      service_plan_id: this.plans[plan]!.id,
      router_id: this.router_ids[router]!,
      pppoe_username: name,
      pppoe_password: password,
      static_ip,
    };
    return {
      method: 'POST',
      path: '/customers',
      body: { full_name: 'Budi Santoso', phone: '0812-3456-7890', address: 'Jl. Melati 7', ...fields },
      is_allowed: this.isNameFree(name) && this.isAddressFree(static_ip, router),
      note: ({ id, customer_code }) =>
        this.customers.push({
          id,
          code: customer_code,
          status: 'pending_activation',
          is_deleted: false,
          suspended_by: null,
          plan,
          router,
          is_static,
          name,
          password,
          static_ip,
        }),
    };
  }

  #changeSpeed({ plan, down, up }: StepOf<'change speed'>): Wish {
    const its_plan = this.plans[plan]!;
    return {
      method: 'PUT',
      path: `/service-plans/${its_plan.id}`,
      body: { download_kbps: down, upload_kbps: up },
      is_allowed: true,
      note: () => Object.assign(its_plan, { down_kbps: down, up_kbps: up }),
    };
  }

  /** All that a router must hold of ours. */
  expect(router: number): Entry[] {
    return KINDS.flatMap(list => list(this, router));
  }

  /** Marked entries that may stand though nothing needs them any more. */
  mayStay(place: string): boolean {
    return this.profileNames().some(name => place === `/ppp/profile ${name}`);
  }

  profileNames(): string[] {
    return [...this.plans.map(plan => plan.profile_name), ISOLIR.profile];
  }
}

const CHANGES = {
  activate: { from: ['pending_activation'], to: 'active' },
  suspend: { from: ['active'], to: 'suspended' },
  resume: { from: ['suspended'], to: 'active' },
  terminate: { from: ['pending_activation', 'active', 'suspended'], to: 'terminated' },
  reactivate: { from: ['terminated'], to: 'pending_activation' },
} as const;

/** What usually comes next. */
const NEXT = {
  pending_activation: 'activate',
  active: 'suspend',
  suspended: 'resume',
  terminated: 'reactivate',
} as const;

type CustomerStep = Exclude<OfficeStep, { do: 'carry on' | 'add' | 'change speed' | 'set policy' | 'set isolir rate' }>;

/** A call, whether its own rule grants it, and what of the customer is another then. */
type Decision = Omit<Wish, 'note'> & { change: Partial<Customer> };

function decideFor(office: Office, customer: Customer, step: CustomerStep): Decision {
  const path = `/customers/${customer.id}`;
  const { status } = customer;
  const put = (body: object, change: Partial<Customer>, is_allowed = true): Decision => ({
    method: 'PUT',
    path,
    body,
    is_allowed,
    change,
  });
  switch (step.do) {
    case 'delete': {
      const is_allowed = status === 'pending_activation' || status === 'terminated';
      return { method: 'DELETE', path, is_allowed, change: { is_deleted: true } };
    }
    case 'put on plan':
      return {
        method: 'POST',
        path: `${path}/change-plan`,
        body: { service_plan_id: office.plans[step.plan]!.id },
        is_allowed: status !== 'terminated' && step.plan !== customer.plan,
        change: { plan: step.plan },
      };
    case 'rename': {
      const name = office.chooseName(step.name);
      return put({ pppoe_username: name }, { name }, status === 'terminated' || office.isNameFree(name, customer));
    }
    case 'set password':
      return put({ pppoe_password: step.password }, { password: step.password });
    case 'set address':
      return put({ static_ip: addressOf(step.octet) }, { static_ip: addressOf(step.octet) });
    case 'move':
      return put({ router_id: office.router_ids[step.router] }, { router: step.router });
    default: {
      const { from, to } = CHANGES[step.do];
      const is_free = step.do !== 'reactivate' || office.isNameFree(customer.name, customer);
      return {
        method: 'POST',
        path: `${path}/${step.do}`,
        body: {},
        is_allowed: (from as readonly string[]).includes(status) && is_free,
        change: { status: to, suspended_by: to === 'suspended' ? office.policy : null },
      };
    }
  }
}

const hasLine = ({ status, is_deleted }: Customer) => !is_deleted && (status === 'active' || status === 'suspended');
export const isIsolated = (customer: Customer) =>
  hasLine(customer) && !customer.is_static && customer.suspended_by === 'isolir';
const linesOn = (office: Office, router: number) =>
  office.customers.filter(customer => hasLine(customer) && customer.router === router);

function listSecrets(office: Office, router: number): Entry[] {
  return linesOn(office, router)
    .filter(customer => !customer.is_static)
    .map(customer => {
      const { name, code, password, plan, status, static_ip } = customer;
      const is_isolated = isIsolated(customer);
      const profile = is_isolated ? ISOLIR.profile : office.plans[plan]!.profile_name;
      return {
        menu: '/ppp/secret',
        place: `/ppp/secret ${name}`,
        key: name,
        mark: `rukun:${code}`,
        fields: {
          password,
          service: 'pppoe',
          profile,
          disabled: String(status === 'suspended' && !is_isolated),
          'remote-address': is_isolated ? '' : (static_ip ?? ''),
        },
        customer,
        leans_on: [`/ppp/profile ${profile}`],
      };
    });
}

function listProfiles(office: Office, router: number): Entry[] {
  const needed = new Set(listSecrets(office, router).map(secret => secret.fields.profile));
  const plans = office.plans.map(plan => {
    const { id, profile_name, is_queued, up_kbps, down_kbps } = plan;
    const rate = is_queued ? '' : rateOf(up_kbps, down_kbps);
    return makeProfile(profile_name, `rukun:plan:${id.slice(0, 8)}`, { 'rate-limit': rate });
  });
  const fields = { 'rate-limit': office.isolir_rate, 'address-list': ISOLIR.list };
  const isolir = makeProfile(ISOLIR.profile, ISOLIR.mark, fields);
  return [...plans, isolir].filter(profile => needed.has(profile.key));
}

const makeProfile = (name: string, mark: string, fields: RouterRow): Entry => ({
  menu: '/ppp/profile',
  place: `/ppp/profile ${name}`,
  key: name,
  mark,
  fields,
  customer: null,
  leans_on: [],
});

function listQueues(office: Office, router: number): Entry[] {
  return linesOn(office, router)
    .filter(customer => office.plans[customer.plan]!.is_queued)
    .map(customer => {
      const { up_kbps, down_kbps } = office.plans[customer.plan]!;
      const fields = { target: `${customer.static_ip}/32`, 'max-limit': rateOf(up_kbps, down_kbps), disabled: 'false' };
      return makeOwn('/queue/simple', customer.code, customer, fields);
    });
}

const listAddresses = (office: Office, router: number): Entry[] =>
  linesOn(office, router)
    .filter(({ is_static, status, static_ip }) => is_static && status === 'suspended' && static_ip !== null)
    .map(customer => {
      const key = `${ISOLIR.list} ${customer.static_ip}`;
      return makeOwn('/ip/firewall/address-list', key, customer, { disabled: 'false' });
    });

const makeOwn = (menu: OurMenu, key: string, customer: Customer, fields: RouterRow): Entry => ({
  menu,
  place: `${menu} ${key}`,
  key,
  mark: `rukun:${customer.code}`,
  fields,
  customer,
  leans_on: [],
});

const KINDS: readonly ((office: Office, router: number) => Entry[])[] = [
  listSecrets,
  listProfiles,
  listQueues,
  listAddresses,
];
