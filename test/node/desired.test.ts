import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseRateLimit } from '../../src/lib/routeros/values.ts';
import { KINDS } from '../../src/protocol/kinds.ts';
import {
  desiredRows,
  describeIsolirProfile,
  describePlanProfile,
  describeReleasedProfile,
  planProfileFields,
  planRateLimit,
  poolFields,
  profileProperties,
  queueFields,
  ruleFields,
  secretFields,
  type CustomerLine,
  type DesiredRow,
  type LinePlan,
  type PlanLine,
  type PlanSettingsLine,
  type RuleState,
  type SuspensionSettings,
} from '../../src/provisioning/desired.ts';
import { isolirEntries, type WalledGarden } from '../../src/provisioning/walled-garden.ts';
import { poolMarker, ruleMarker } from '../../src/provisioning/markers.ts';

const RUNS = { numRuns: 300 };

const ip = fc.constantFrom('10.0.0.1', '10.0.0.2');

const line: fc.Arbitrary<CustomerLine> = fc.record({
  id: fc.uuid(),
  customer_code: fc.constantFrom('CUST00001', 'CUST00002'),
  full_name: fc.constantFrom('Budi Santoso', 'Siti $& {customer_code}'),
  status: fc.constantFrom('pending_activation', 'active', 'suspended', 'terminated'),
  connection_type: fc.constantFrom('pppoe', 'hotspot', 'static'),
  router_id: fc.option(fc.uuid(), { nil: null }),
  pppoe_username: fc.option(fc.constantFrom('budi', 'siti'), { nil: null }),
  static_ip: fc.option(ip, { nil: null }),
});

const line_plan: fc.Arbitrary<LinePlan> = fc.record({
  profile_name: fc.constantFrom('p10', 'p20'),
  shaping: fc.constantFrom('profile', 'simple_queue'),
  is_unlimited: fc.boolean(),
  queue_name_template: fc.constantFrom('{customer_code}', 'q-{customer_code}-{pppoe_username}', '{full_name} {nobody}'),
});

const suspension: fc.Arbitrary<SuspensionSettings> = fc.record({
  suspension_policy: fc.constantFrom('disable', 'isolir'),
  isolir_profile: fc.constantFrom('isolir', 'blokir'),
  isolir_pool: fc.constantFrom('pool-isolir', 'kolam'),
  isolir_address_list: fc.constantFrom('isolir', 'blokir'),
  isolir_download_kbps: fc.integer({ min: 1, max: 100_000 }),
  isolir_upload_kbps: fc.integer({ min: 1, max: 100_000 }),
});

const optional_kbps = fc.option(fc.integer({ min: 1, max: 10_000_000 }), { nil: null });

const plan: fc.Arbitrary<PlanLine> = fc.record({
  id: fc.uuid(),
  profile_name: fc.constantFrom('p10', 'p20'),
  download_kbps: optional_kbps,
  upload_kbps: optional_kbps,
  rate_limit: fc.option(fc.constantFrom('0/10M', '10M/10M 0/0 0/0 0/0 8 1M/1M'), { nil: null, freq: 5 }),
});

const settings: fc.Arbitrary<PlanSettingsLine> = fc.record({
  burst_download_kbps: optional_kbps,
  burst_upload_kbps: optional_kbps,
  burst_threshold_download_kbps: optional_kbps,
  burst_threshold_upload_kbps: optional_kbps,
  burst_time_seconds: fc.option(fc.integer({ min: 1, max: 3600 }), { nil: null }),
  priority: fc.integer({ min: 1, max: 8 }),
  queue_type: fc.option(fc.constant('pcq'), { nil: null }),
  parent_queue: fc.option(fc.constant('parent'), { nil: null }),
  address_pool: fc.option(fc.constant('pool'), { nil: null }),
  local_address: fc.option(ip, { nil: null }),
  dns_servers: fc.array(ip, { maxLength: 2 }),
  session_timeout: fc.option(fc.integer({ min: 1, max: 100_000 }), { nil: null }),
  max_devices: fc.option(fc.integer({ min: 1, max: 3 }), { nil: null }),
  is_unlimited: fc.boolean(),
  shaping: fc.constantFrom('profile', 'simple_queue', undefined),
  managed: fc.option(fc.subarray(['local-address', 'parent-queue', 'queue-type', 'only-one', 'session-timeout']), {
    nil: undefined,
  }),
});

const secretsOf = (rows: DesiredRow[]) => rows.filter(row => row.kind === 'ppp_secret');
const queuesOf = (rows: DesiredRow[]) => rows.filter(row => row.kind === 'simple_queue');
const listsOf = (rows: DesiredRow[]) => rows.filter(row => row.kind === 'address_list');

const BUDI: CustomerLine = {
  id: 'c1',
  customer_code: 'CUST00007',
  full_name: 'Budi Santoso',
  status: 'active',
  connection_type: 'static',
  router_id: 'r1',
  pppoe_username: null,
  static_ip: '10.0.0.5',
};
const QUEUED: LinePlan = {
  profile_name: 'p10',
  shaping: 'simple_queue',
  is_unlimited: false,
  queue_name_template: '{customer_code}',
};
const POLICY: SuspensionSettings = {
  suspension_policy: 'isolir',
  isolir_profile: 'isolir',
  isolir_pool: 'pool-isolir',
  isolir_address_list: 'isolir',
  isolir_download_kbps: 128,
  isolir_upload_kbps: 64,
};

describe('desiredRows', () => {
  it('P25 P28 is nothing for who is not served, has no router, or signs in elsewhere', () => {
    fc.assert(
      fc.property(line, line_plan, suspension, (customer, wanted, policy) => {
        const { status, router_id, connection_type } = customer;
        const is_served = (status === 'active' || status === 'suspended') && router_id !== null;
        const rows = desiredRows(customer, wanted, policy);
        if (!is_served || connection_type === 'hotspot') expect(rows).toEqual([]);
        for (const row of rows) expect(row).toMatchObject({ customer_id: customer.id, router_id });
        const keys = rows.map(({ kind, key }) => `${kind} ${key}`);
        expect(new Set(keys).size).toBe(keys.length);
      }),
      RUNS,
    );
  });

  it('P25 P27 is a secret for PPPoE lines that are served, as the policy says, and for nobody else', () => {
    fc.assert(
      fc.property(line, line_plan, suspension, (customer, wanted, policy) => {
        const secrets = secretsOf(desiredRows(customer, wanted, policy));
        const { status, connection_type, router_id, pppoe_username, static_ip } = customer;
        const is_served = status === 'active' || status === 'suspended';
        if (!is_served || connection_type !== 'pppoe' || router_id === null || pppoe_username === null) {
          expect(secrets).toEqual([]);
          return;
        }
        expect(secrets).toHaveLength(1);
        expect(secrets[0]).toMatchObject({ router_id, key: pppoe_username });
        const { desired } = secrets[0]!;
        const cut = status === 'suspended' ? policy.suspension_policy : null;
        expect(desired.disabled).toBe(cut === 'disable');
        expect(desired.profile).toBe(cut === 'isolir' ? policy.isolir_profile : wanted.profile_name);
        expect(desired.remote_address || null).toBe(cut === 'isolir' ? null : static_ip);
        // an address that the line had before must go, one that it never had is not ours to take away
        if (cut === 'isolir') expect(desired.remote_address).toBe(static_ip === null ? null : '');
      }),
      RUNS,
    );
  });

  it('is a queue just where the plan shapes by queues and has limits; it holds on to the static address', () => {
    fc.assert(
      fc.property(line, line_plan, suspension, (customer, wanted, policy) => {
        const queues = queuesOf(desiredRows(customer, wanted, policy));
        const { status, connection_type, router_id, pppoe_username, static_ip } = customer;
        const is_served = (status === 'active' || status === 'suspended') && router_id !== null;
        const is_line = connection_type === 'static' || connection_type === 'pppoe';
        if (!is_served || !is_line || wanted.shaping !== 'simple_queue' || wanted.is_unlimited) {
          expect(queues).toEqual([]);
          return;
        }
        const name = {
          '{customer_code}': customer.customer_code,
          'q-{customer_code}-{pppoe_username}': `q-${customer.customer_code}-${pppoe_username ?? ''}`,
          '{full_name} {nobody}': `${customer.full_name} {nobody}`,
        }[wanted.queue_name_template];
        const desired = { profile: wanted.profile_name, target: static_ip };
        expect(queues).toMatchObject([{ key: name, desired }]);
      }),
      RUNS,
    );
  });

  it('P27 is an address-list entry just for suspended static lines with an address, whatever the policy', () => {
    fc.assert(
      fc.property(line, line_plan, suspension, (customer, wanted, policy) => {
        const { status, connection_type, router_id, static_ip } = customer;
        const is_listed = status === 'suspended' && connection_type === 'static' && router_id && static_ip;
        const list = policy.isolir_address_list;
        const entry = { key: `${list} ${static_ip}`, desired: { list, address: static_ip } };
        const lists = listsOf(desiredRows(customer, wanted, policy));
        if (is_listed) expect(lists).toMatchObject([entry]);
        else expect(lists).toEqual([]);
      }),
      RUNS,
    );
  });

  it('P27 a static line: served by its queue, suspended by the list, whatever the policy', () => {
    const kinds = (rows: DesiredRow[]) => rows.map(({ kind, key }) => `${kind} ${key}`);
    const suspended = { ...BUDI, status: 'suspended' } as const;
    expect(kinds(desiredRows(BUDI, QUEUED, POLICY))).toEqual(['simple_queue CUST00007']);
    const cut = desiredRows(suspended, QUEUED, POLICY);
    expect(kinds(cut)).toEqual(['simple_queue CUST00007', 'address_list isolir 10.0.0.5']);
    expect(queuesOf(cut)[0]!.desired).toEqual({ profile: 'p10', target: '10.0.0.5' });
    const disabled = desiredRows(suspended, QUEUED, { ...POLICY, suspension_policy: 'disable' });
    expect(disabled).toEqual(cut);
    expect(kinds(desiredRows(suspended, { ...QUEUED, shaping: 'profile' }, POLICY))).toEqual([
      'address_list isolir 10.0.0.5',
    ]);
  });
});

describe('secretFields', () => {
  it('manages the address only where something is said of it', () => {
    const fields = { profile: 'p10', disabled: 'no' };
    expect(secretFields({ profile: 'p10', disabled: false, remote_address: null })).toEqual(fields);
    expect(secretFields({ profile: 'p10', disabled: false, remote_address: '' })).toEqual({
      ...fields,
      'remote-address': '',
    });
    expect(secretFields({ profile: 'p10', disabled: true, remote_address: '10.0.0.5' })).toEqual({
      profile: 'p10',
      disabled: 'yes',
      'remote-address': '10.0.0.5',
    });
  });
});

describe('planRateLimit', () => {
  it('P26 says the plan: upload first, the own text before the speeds, and nothing where there is no limit', () => {
    fc.assert(
      fc.property(plan, fc.option(settings, { nil: null }), (wanted, more) => {
        const text = planRateLimit(wanted, more);
        if (wanted.rate_limit !== null) return void expect(text).toBe(wanted.rate_limit);
        if (more?.is_unlimited || !wanted.download_kbps || !wanted.upload_kbps) return void expect(text).toBe('');
        const limit = parseRateLimit(text)!;
        expect([limit.rx_bps, limit.tx_bps]).toEqual([wanted.upload_kbps * 1000, wanted.download_kbps * 1000]);
        expect(limit.burst_tx_bps).toBe((more?.burst_download_kbps ?? 0) * 1000);
        expect(limit.burst_rx_bps).toBe((more?.burst_upload_kbps ?? 0) * 1000);
        expect(limit.priority).toBe(more?.priority ?? 8);
        if (more?.burst_download_kbps && more.burst_upload_kbps) {
          expect(limit.threshold_rx_bps).toBe((more.burst_threshold_upload_kbps ?? wanted.upload_kbps) * 1000);
          expect(limit.burst_time_rx_s).toBe(more.burst_time_seconds ?? 0);
        }
      }),
      RUNS,
    );
  });
});

describe('the profile of a plan', () => {
  it('manages its speed and what the plan says, or said once, and no more', () => {
    fc.assert(
      fc.property(plan, settings, fc.boolean(), (wanted, more, adopt) => {
        const { ref, key, marker, fields, ...rest } = describePlanProfile(wanted, more, adopt);
        expect(rest).toEqual({
          generation: 0,
          kind: 'ppp_profile',
          adopt,
          was_ours: false,
          release: false,
          leans_on: null,
          line: null,
        });
        expect([ref, key]).toEqual([`profile:${wanted.profile_name}`, wanted.profile_name]);
        expect(marker).toBe(`rukun:plan:${wanted.id.slice(0, 8)}`);
        const is_queued = more.shaping === 'simple_queue';
        const says: Record<string, unknown> = {
          'rate-limit': true,
          'local-address': more.local_address,
          'remote-address': more.address_pool,
          'dns-server': more.dns_servers.length,
          'parent-queue': more.parent_queue && !is_queued,
          'queue-type': more.queue_type && !is_queued,
          'session-timeout': more.session_timeout,
          'only-one': more.max_devices === 1,
        };
        const said = Object.keys(says).filter(property => says[property]);
        expect(new Set(Object.keys(fields!))).toEqual(new Set([...said, ...(more.managed ?? [])]));
        const taken_back = (more.managed ?? []).filter(property => !says[property]);
        for (const property of taken_back) expect(fields![property]).toBe(property === 'only-one' ? 'default' : '');
        expect(new Set(profileProperties(more))).toEqual(new Set(said.filter(property => property !== 'rate-limit')));
        for (const property of Object.keys(fields!)) expect(KINDS.ppp_profile.properties).toHaveProperty(property);
      }),
      RUNS,
    );
  });

  it('has no rate limit, parent or queue type where queues hold the lines to the speed', () => {
    fc.assert(
      fc.property(plan, settings, (wanted, more) => {
        const fields = planProfileFields(wanted, { ...more, shaping: 'simple_queue' });
        // said, and not left as it was: two limits would stand in each other's way
        expect(fields['rate-limit']).toBe('');
        expect([fields['parent-queue'] ?? '', fields['queue-type'] ?? '']).toEqual(['', '']);
      }),
      RUNS,
    );
  });

  it('is given back whole', () => {
    const released = describeReleasedProfile({ id: '0193a2b4-0000', profile_name: 'p10' });
    expect(released).toMatchObject({ key: 'p10', marker: 'rukun:plan:0193a2b4', fields: null, release: true });
  });
});

describe('the isolir profile', () => {
  it('has the speed and the list of the settings, and no addresses where no set-up was ever made', () => {
    fc.assert(
      fc.property(suspension, policy => {
        const { key, marker, fields, adopt } = describeIsolirProfile(policy, null, false);
        const limit = parseRateLimit(fields!['rate-limit']!)!;
        expect([key, marker, adopt]).toEqual([policy.isolir_profile, 'rukun:isolir', false]);
        expect([limit.rx_bps, limit.tx_bps]).toEqual([
          policy.isolir_upload_kbps * 1000,
          policy.isolir_download_kbps * 1000,
        ]);
        const { 'rate-limit': _rate, ...others } = fields!;
        expect(others).toEqual({ 'address-list': policy.isolir_address_list });
      }),
      RUNS,
    );
  });

  it('gives out the addresses of the set-up’s pool, and lets go of them once it is taken back', () => {
    const pool = { name: 'pool-isolir', local_address: '10.66.0.1', is_gone: false };
    const { fields, adopt } = describeIsolirProfile(POLICY, pool, true);
    expect(fields).toEqual({
      'rate-limit': '64k/128k',
      'address-list': 'isolir',
      'local-address': '10.66.0.1',
      'remote-address': 'pool-isolir',
    });
    expect(adopt).toBe(true);
    const gone = describeIsolirProfile(POLICY, { name: '', local_address: '', is_gone: true }, false);
    expect(gone.fields).toMatchObject({ 'local-address': '', 'remote-address': '' });
  });
});

const NO_SETTINGS: PlanSettingsLine = {
  burst_download_kbps: null,
  burst_upload_kbps: null,
  burst_threshold_download_kbps: null,
  burst_threshold_upload_kbps: null,
  burst_time_seconds: null,
  priority: 8,
  queue_type: null,
  parent_queue: null,
  address_pool: null,
  local_address: null,
  dns_servers: [],
  session_timeout: null,
  max_devices: null,
  is_unlimited: false,
  shaping: 'simple_queue',
};
const PLAN: PlanLine = { id: 'p', profile_name: 'p10', download_kbps: 10_000, upload_kbps: 5_000, rate_limit: null };

describe('queueFields', () => {
  const NOTHING_MORE = { parent: 'none', queue: 'default-small/default-small' };

  it('P26 limits upload and download in bits, upload first, and bursts one by one', () => {
    expect(queueFields('10.0.0.5', { plan: PLAN, settings: NO_SETTINGS })).toEqual({
      target: '10.0.0.5',
      'max-limit': '5000000/10000000',
      'limit-at': '0/0',
      'burst-limit': '0/0',
      'burst-threshold': '0/0',
      'burst-time': '0s/0s',
      priority: '8/8',
      ...NOTHING_MORE,
      disabled: 'no',
    });
    const more = {
      ...NO_SETTINGS,
      burst_download_kbps: 20_000,
      burst_upload_kbps: 8_000,
      burst_threshold_download_kbps: 9_000,
      burst_threshold_upload_kbps: 4_000,
      burst_time_seconds: 16,
      priority: 3,
      queue_type: 'pcq-rumah',
      parent_queue: 'induk',
    };
    expect(queueFields('10.0.0.0/29', { plan: PLAN, settings: more })).toEqual({
      target: '10.0.0.0/29',
      'max-limit': '5000000/10000000',
      'limit-at': '0/0',
      'burst-limit': '8000000/20000000',
      'burst-threshold': '4000000/9000000',
      'burst-time': '16s/16s',
      priority: '3/3',
      parent: 'induk',
      queue: 'pcq-rumah/pcq-rumah',
      disabled: 'no',
    });
    const own = { ...PLAN, rate_limit: '2M/3M 4M/6M 1M/2M 8/10 5 512k/1M' };
    expect(queueFields('10.0.0.5', { plan: own, settings: null })).toEqual({
      target: '10.0.0.5',
      'max-limit': '2000000/3000000',
      'limit-at': '512000/1000000',
      'burst-limit': '4000000/6000000',
      'burst-threshold': '1000000/2000000',
      'burst-time': '8s/10s',
      priority: '5/5',
      ...NOTHING_MORE,
      disabled: 'no',
    });
  });

  it('never says 0 where a limit is meant, is never empty, and sets nothing but what a queue may be told', () => {
    fc.assert(
      fc.property(plan, fc.option(settings, { nil: null }), (wanted, more) => {
        const fields = queueFields('10.0.0.5', { plan: wanted, settings: more })!;
        for (const [property, value] of Object.entries(fields)) {
          expect(KINDS.simple_queue.properties).toHaveProperty(property);
          expect(value).not.toMatch(/^$|NaN|undefined|null|Infinity|\de/);
        }
        if (wanted.rate_limit !== null) return;
        const { upload_kbps, download_kbps } = wanted;
        const is_limited = upload_kbps !== null && download_kbps !== null && !more?.is_unlimited;
        expect(fields['max-limit']).toBe(is_limited ? `${upload_kbps * 1000}/${download_kbps * 1000}` : '0/0');
        if (!is_limited) return;
        const [burst_up, burst_down] = [more?.burst_upload_kbps ?? 0, more?.burst_download_kbps ?? 0];
        expect(fields['burst-limit']).toBe(`${burst_up * 1000}/${burst_down * 1000}`);
        expect(fields.priority).toBe(`${more?.priority ?? 8}/${more?.priority ?? 8}`);
        // a burst that is meant holds on to a threshold
        if (burst_up || burst_down) expect(fields['burst-threshold']).not.toMatch(/(^|\/)0(\/|$)/);
      }),
      RUNS,
    );
  });
});

describe('poolFields', () => {
  it('says that no pool comes after this one, where none does', () => {
    expect(poolFields({ ranges: '10.0.0.2-10.0.0.9', next_pool: null, local_address: null })).toEqual({
      ranges: '10.0.0.2-10.0.0.9',
      'next-pool': 'none',
    });
    const more = { ranges: '10.0.0.2-10.0.0.9', next_pool: 'lain', local_address: '10.0.0.1' };
    expect(poolFields(more)).toEqual({ ranges: '10.0.0.2-10.0.0.9', 'next-pool': 'lain' });
  });

  it('a pool’s marker is one word, whatever it is called', () => {
    expect(poolMarker('kolam utama  2')).toBe('rukun:pool:kolam_utama__2');
  });
});

const GARDEN: WalledGarden = {
  pool_ranges: '10.66.0.2-10.66.0.254',
  local_address: '10.66.0.1',
  page_address: '203.0.113.9',
  page_port: 8080,
  allowed_addresses: ['203.0.113.10', '198.51.100.0/24'],
};

const garden: fc.Arbitrary<WalledGarden> = fc.record({
  pool_ranges: fc.constant('10.66.0.2-10.66.0.254'),
  local_address: fc.constant('10.66.0.1'),
  page_address: fc.option(fc.constantFrom('203.0.113.9', '203.0.113.10'), { nil: null }),
  page_port: fc.integer({ min: 1, max: 65535 }),
  allowed_addresses: fc.array(fc.constantFrom('203.0.113.9', '203.0.113.10', '198.51.100.0/24')),
});

/** A rule says of every other matcher that it has none. */
const withoutEmpty = (fields: Record<string, string>): Record<string, string> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== ''));

const rulesOf = (rows: DesiredRow[], kind: 'filter_rule' | 'nat_rule', policy: SuspensionSettings) =>
  rows.filter(row => row.kind === kind).map(row => withoutEmpty(ruleFields(kind, row.desired as RuleState, policy)));

/** What a router does with a packet of a suspended line: the first rule that fits. */
function decide(
  rules: RuleState[],
  lists: Record<string, string[]>,
  packet: { protocol: string; port: string; to: string },
): string {
  const fits = (rule: RuleState) =>
    (rule.protocol === undefined || rule.protocol === packet.protocol) &&
    (rule['dst-port'] === undefined || rule['dst-port'] === packet.port) &&
    (rule['dst-address-list'] === undefined || lists[rule['dst-address-list']]?.includes(packet.to));
  return rules.find(fits)?.action ?? 'accept';
}

describe('isolirEntries', () => {
  it('are the pool, what may be reached, the rules in their order, and the redirect', () => {
    const rows = isolirEntries('r1', POLICY, GARDEN);
    expect(rows.every(row => row.router_id === 'r1' && row.customer_id === null && row.setup === 'isolir')).toBe(true);
    expect(rows.map(({ kind, key }) => `${kind} ${key}`)).toEqual([
      'ip_pool pool-isolir',
      'address_list isolir-allow 203.0.113.9',
      'address_list isolir-allow 203.0.113.10',
      'address_list isolir-allow 198.51.100.0/24',
      'filter_rule isolir:1-dns-udp',
      'filter_rule isolir:2-dns-tcp',
      'filter_rule isolir:3-page',
      'filter_rule isolir:4-drop',
      'nat_rule isolir:5-redirect',
    ]);
    // the tables give them by their keys
    const keys = rows.filter(({ kind }) => kind === 'filter_rule' || kind === 'nat_rule').map(({ key }) => key);
    expect(keys.toSorted()).toEqual(keys);
    expect(rows[0]!.desired).toEqual({ ranges: GARDEN.pool_ranges, next_pool: null, local_address: '10.66.0.1' });
    expect(rulesOf(rows, 'nat_rule', POLICY)).toEqual([
      {
        chain: 'dstnat',
        action: 'dst-nat',
        protocol: 'tcp',
        'dst-port': '80',
        'src-address-list': 'isolir',
        'dst-address-list': '!isolir-allow',
        'to-addresses': '203.0.113.9',
        'to-ports': '8080',
        disabled: 'no',
      },
    ]);
    expect(ruleMarker('isolir:4-drop')).toBe('rukun:isolir:4-drop');
  });

  it('let the suspended ask for names and see the page and what is allowed, and nothing else', () => {
    fc.assert(
      fc.property(suspension, garden, (policy, wanted) => {
        const rows = isolirEntries('r1', policy, wanted);
        const rules = rulesOf(rows, 'filter_rule', policy);
        for (const rule of rules)
          expect(rule).toMatchObject({ chain: 'forward', 'src-address-list': policy.isolir_address_list });
        const allowed = listsOf(rows).map(row => row.desired.address);
        const lists = { [`${policy.isolir_address_list}-allow`]: allowed };
        for (const { desired } of listsOf(rows)) expect(desired.list).toBe(`${policy.isolir_address_list}-allow`);
        const reachable = [wanted.page_address, ...wanted.allowed_addresses].filter(address => address !== null);
        expect(new Set(allowed)).toEqual(new Set(reachable));
        expect(new Set(allowed).size).toBe(allowed.length);
        const ask = (protocol: string, port: string, to = '192.0.2.1') => decide(rules, lists, { protocol, port, to });
        expect([ask('udp', '53'), ask('tcp', '53')]).toEqual(['accept', 'accept']);
        for (const to of reachable) expect([ask('tcp', '80', to), ask('tcp', '443', to)]).toEqual(['accept', 'accept']);
        for (const port of ['80', '443', '8080']) expect(ask('tcp', port)).toBe('drop');
        expect(ask('udp', '443')).toBe('drop');
        expect(ask('icmp', '')).toBe('drop');
      }),
      RUNS,
    );
  });

  it('redirect only where there is a page', () => {
    fc.assert(
      fc.property(suspension, garden, (policy, wanted) => {
        const redirects = rulesOf(isolirEntries('r1', policy, wanted), 'nat_rule', policy);
        expect(redirects).toHaveLength(wanted.page_address === null ? 0 : 1);
        if (wanted.page_address === null) return;
        expect(redirects[0]).toMatchObject({
          'to-addresses': wanted.page_address,
          'to-ports': String(wanted.page_port),
          'src-address-list': policy.isolir_address_list,
        });
      }),
      RUNS,
    );
  });

  it('are only what the bridge may set', () => {
    for (const row of isolirEntries('r1', POLICY, GARDEN))
      if (row.kind === 'filter_rule' || row.kind === 'nat_rule')
        for (const property of Object.keys(ruleFields(row.kind, row.desired, POLICY)))
          expect(KINDS[row.kind].properties).toHaveProperty(property);
  });
});
