import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseRateLimit } from '../../src/lib/routeros/values.ts';
import type { DesiredItem, DesiredProfile, SecretState } from '../../src/protocol/messages.ts';
import {
  desiredRows,
  describeIsolirProfile,
  describePlanProfile,
  planRateLimit,
  type CustomerLine,
  type PlanLine,
  type PlanSettingsLine,
  type SuspensionSettings,
} from '../../src/provisioning/desired.ts';
import {
  planProfile,
  planSecret,
  readMarker,
  withMarker,
  type Change,
  type ObservedRow,
  type Step,
} from '../../src/provisioning/diff.ts';

const RUNS = { numRuns: 300 };

/** A router as the plans see it: rows by menu, ids of its own, and no secret on a profile that isn't there. */
class ModelRouter {
  readonly rows: Record<Change['menu'], Map<string, ObservedRow>> = {
    '/ppp/profile': new Map(),
    '/ppp/secret': new Map(),
  };
  #next_id = 1;

  seed(menu: Change['menu'], row: ObservedRow): void {
    const id = `*${(this.#next_id++).toString(16).toUpperCase()}`;
    const unset: ObservedRow = menu === '/ppp/secret' ? { password: '' } : {};
    this.rows[menu].set(row.name!, { '.id': id, ...unset, ...read(row) });
  }

  find = (menu: Change['menu'], name: string) => this.rows[menu].get(name);

  apply({ change }: Step): void {
    if (!change) return;
    const { menu, verb, id, props } = change;
    const table = this.rows[menu];
    const { profile } = props;
    if (profile !== undefined && !this.rows['/ppp/profile'].has(profile))
      throw new Error('input does not match any value of profile');
    if (verb === 'add') {
      if (table.has(props.name!)) throw new Error('secret with the same name already exists');
      return this.seed(menu, props);
    }
    const row = [...table.values()].find(row => row['.id'] === id);
    if (!row) throw new Error('no such item');
    if (verb === 'remove') table.delete(row.name!);
    else table.set(row.name!, read({ ...row, ...props }));
  }
}

/** As it is written, and as it then reads back: booleans as words of the API, what is unset not at all. */
function read(props: ObservedRow): ObservedRow {
  const words: Record<string, string> = { yes: 'true', no: 'false' };
  const entries = Object.entries(props).filter(([key, value]) => value !== '' || key === 'password');
  return Object.fromEntries(entries.map(([key, value]) => [key, key === 'disabled' ? (words[value] ?? value) : value]));
}

const name = fc.constantFrom('budi', 'siti', 'agus', 'dewi');
const profile_name = fc.constantFrom('p10', 'p20', 'isolir');
const text = fc.constantFrom('', 'antena di atap', 'rukun', 'x rukun: y', 'blok C/7  dua spasi');
const marker = fc.constantFrom('rukun:CUST00001', 'rukun:CUST00002', 'rukun:plan:0193a2b4');
const comment = fc
  .tuple(text, fc.option(marker, { nil: '' }))
  .map(([words, mark]) => [words, mark].filter(Boolean).join(' '));
const rate = fc.constantFrom('', '5M/20M', '5000k/20000k', '5000000/20000000', '1M/1M 2M/2M 1M/1M 8/8 8');
const ip = fc.constantFrom('10.0.0.1', '10.0.0.2');

const secret_row = fc.record(
  {
    name,
    comment,
    password: fc.constantFrom('a', 'b'),
    profile: profile_name,
    disabled: fc.constantFrom('true', 'false'),
    'remote-address': ip,
    'last-logged-out': fc.constantFrom('2026-09-26 20:00:00'),
    'caller-id': fc.constantFrom('AA:BB:CC:DD:EE:FF'),
  },
  { requiredKeys: ['name', 'profile', 'disabled'] },
);

const profile_row = fc.record(
  {
    name: profile_name,
    comment,
    'rate-limit': rate,
    'address-list': fc.constantFrom('isolir'),
    'on-up': fc.constantFrom('x'),
  },
  { requiredKeys: ['name'] },
);

const state: fc.Arbitrary<SecretState> = fc.record({
  profile: profile_name,
  disabled: fc.boolean(),
  remote_address: fc.oneof(fc.constant(null), fc.constant(''), ip),
});

const item: fc.Arbitrary<DesiredItem> = fc.record({
  ref: fc.uuid(),
  generation: fc.nat(),
  kind: fc.constant('ppp_secret' as const),
  key: name,
  marker: fc.constantFrom('rukun:CUST00001', 'rukun:CUST00002'),
  adopt: fc.boolean(),
  release: fc.constant(false),
  desired: fc.option(state, { nil: null, freq: 4 }),
  password_written: fc.boolean(),
  end_session: fc.constant(false),
});

const desired_profile: fc.Arbitrary<DesiredProfile> = fc.record({
  name: profile_name,
  marker: fc.constant('rukun:plan:0193a2b4'),
  adopt: fc.boolean(),
  release: fc.constant(false),
  fields: fc.dictionary(
    fc.constantFrom('rate-limit', 'address-list', 'only-one', 'session-timeout'),
    fc.constantFrom('', 'yes', '1d', '5M/20M'),
  ),
});

const password = fc.option(fc.constantFrom('a', 'b'), { nil: null });
const hides = fc.boolean();

/** What the plan is given: without passwords where the router hides them. */
function show(row: ObservedRow | undefined, is_hidden: boolean): ObservedRow | undefined {
  if (!row || !is_hidden) return row;
  const { password: _password, ...rest } = row;
  return rest;
}

describe('planSecret', () => {
  it('P29a gives the desired state, and nothing more the second time', () => {
    fc.assert(
      fc.property(fc.option(secret_row, { nil: undefined }), item, password, hides, (row, wanted, pass, is_hidden) => {
        const router = new ModelRouter();
        for (const profile of ['p10', 'p20', 'isolir']) router.seed('/ppp/profile', { name: profile });
        if (row) router.seed('/ppp/secret', { ...row, name: wanted.key });
        const before = router.find('/ppp/secret', wanted.key);
        const step = planSecret(wanted, show(before, is_hidden), pass);
        router.apply(step);
        const after = router.find('/ppp/secret', wanted.key);
        if (step.outcome === 'conflict' || step.outcome === 'failed') {
          expect(after).toEqual(before);
          return;
        }
        const { desired } = wanted;
        if (!desired) {
          if (before && (wanted.adopt || readMarker(before.comment))) expect(after).toBeUndefined();
          else expect(after).toEqual(before);
          return;
        }
        expect(after).toMatchObject({ profile: desired.profile, disabled: String(desired.disabled) });
        expect(readMarker(after!.comment)).toBe(wanted.marker);
        if (desired.remote_address !== null) expect(after!['remote-address'] ?? '').toBe(desired.remote_address);
        else expect(after!['remote-address']).toBe(before?.['remote-address']);
        const is_known = !is_hidden || !wanted.password_written;
        if (pass !== null && is_known) expect(after!.password).toBe(pass);
        if (pass === null) expect(after!.password).toBe(before?.password);
        // what the plan doesn't manage is as it was
        for (const key of ['last-logged-out', 'caller-id']) expect(after![key]).toBe(before?.[key]);
        const again = planSecret({ ...wanted, password_written: true }, show(after, is_hidden), pass);
        expect(again).toMatchObject({ outcome: 'unchanged', change: null, end_session: null });
      }),
      RUNS,
    );
  });

  it('giving back takes our own mark away and nothing else: adopted and given back, a row is as it was', () => {
    fc.assert(
      fc.property(secret_row, item, (row, wanted) => {
        const router = new ModelRouter();
        router.seed('/ppp/secret', { ...row, name: wanted.key });
        const before = router.find('/ppp/secret', wanted.key)!;
        const released = { ...wanted, desired: null, release: true };
        const step = planSecret(released, before, null);
        router.apply(step);
        const after = router.find('/ppp/secret', wanted.key)!;
        const is_ours = readMarker(before.comment) === wanted.marker;
        expect(step).toMatchObject({ outcome: is_ours ? 'changed' : 'absent', end_session: null });
        expect({ ...after, comment: '' }).toEqual({ ...before, comment: '' });
        expect(readMarker(after.comment)).toBe(is_ours ? null : readMarker(before.comment));
        expect(planSecret(released, after, null).change).toBeNull();
        if (readMarker(before.comment) !== null) return;
        const marked = { ...before, comment: withMarker(before.comment, wanted.marker) };
        const back = planSecret(released, marked, null).change!;
        expect(back.props).toEqual({ comment: (before.comment ?? '').trim() });
        const profile = {
          name: wanted.key,
          marker: wanted.marker,
          adopt: false,
          release: true,
          fields: { 'rate-limit': '1M/1M' },
        };
        expect(planProfile(profile, marked).change!.props).toEqual(back.props);
        expect(planProfile(profile, undefined)).toMatchObject({ change: null, outcome: 'absent' });
      }),
      RUNS,
    );
  });

  it('P29a never touches what is not marked, unless it was given to us', () => {
    fc.assert(
      fc.property(secret_row, item, password, text, (row, wanted, pass, words) => {
        const unmarked = { '.id': '*9', ...row, comment: words, name: wanted.key };
        const step = planSecret({ ...wanted, adopt: false }, unmarked, pass);
        expect(step).toMatchObject({ change: null, end_session: null });
        expect(step.outcome).toBe(wanted.desired ? 'conflict' : 'absent');
        if (wanted.desired) expect(step.error).toContain(wanted.key);
      }),
      RUNS,
    );
  });

  it('P29a changes only the marker of an adopted row that is right already', () => {
    fc.assert(
      fc.property(secret_row, password, hides, (row, pass, is_hidden) => {
        const observed = show(
          { '.id': '*9', password: pass ?? 'unknown', ...row, ...(pass && { password: pass }) },
          is_hidden,
        )!;
        const wanted: DesiredItem = {
          ref: 'r',
          generation: 1,
          kind: 'ppp_secret',
          key: row.name,
          marker: 'rukun:CUST00007',
          adopt: true,
          desired: {
            profile: row.profile,
            disabled: row.disabled === 'true',
            remote_address: row['remote-address'] ?? null,
          },
          release: false,
          password_written: true,
          end_session: false,
        };
        const step = planSecret(wanted, observed, pass);
        expect(step.change).toEqual({
          menu: '/ppp/secret',
          verb: 'set',
          id: '*9',
          props: { comment: withMarker(row.comment, 'rukun:CUST00007') },
        });
        // and nobody is thrown off the line for it
        expect(step.end_session).toBeNull();
      }),
      RUNS,
    );
  });

  it('writes a password only where it is another one, or never was written', () => {
    fc.assert(
      fc.property(secret_row, item, fc.constantFrom('a', 'b'), hides, (row, wanted, pass, is_hidden) => {
        const observed = { '.id': '*9', password: 'a', ...row, name: wanted.key };
        const step = planSecret({ ...wanted, adopt: true }, show(observed, is_hidden), pass);
        if (!wanted.desired) return;
        const is_written = step.change?.props.password !== undefined;
        expect(is_written).toBe(is_hidden ? !wanted.password_written : observed.password !== pass);
        if (is_written) expect(step.end_session).toBe(wanted.key);
      }),
      RUNS,
    );
  });

  it('P27 ends the session with every change that reaches the subscriber, and with no other', () => {
    fc.assert(
      fc.property(secret_row, item, password, (row, wanted, pass) => {
        const step = planSecret({ ...wanted, adopt: true }, { '.id': '*9', ...row, name: wanted.key }, pass);
        const props = Object.keys(step.change?.props ?? {}).filter(key => key !== 'comment');
        const reaches = step.change?.verb === 'remove' || props.length > 0;
        expect(step.end_session).toBe(reaches ? wanted.key : null);
      }),
      RUNS,
    );
  });

  it('makes no secret whose password nobody knows', () => {
    fc.assert(
      fc.property(item, wanted => {
        const step = planSecret(wanted, undefined, null);
        expect(step.change).toBeNull();
        expect(step.outcome).toBe(wanted.desired ? 'failed' : 'absent');
      }),
      RUNS,
    );
  });
});

describe('planProfile', () => {
  it('P29a gives the desired fields, leaves the others, and nothing more the second time', () => {
    fc.assert(
      fc.property(fc.option(profile_row, { nil: undefined }), desired_profile, (row, wanted) => {
        const router = new ModelRouter();
        if (row) router.seed('/ppp/profile', { ...row, name: wanted.name });
        const before = router.find('/ppp/profile', wanted.name);
        const step = planProfile(wanted, before);
        expect(step.end_session).toBeNull();
        router.apply(step);
        const after = router.find('/ppp/profile', wanted.name)!;
        if (before && !wanted.adopt && !readMarker(before.comment)) {
          expect([step.outcome, step.change]).toEqual(['conflict', null]);
          return;
        }
        expect(readMarker(after.comment)).toBe(wanted.marker);
        for (const [key, value] of Object.entries(wanted.fields)) {
          const limit = (text: string | undefined) =>
            key === 'rate-limit' ? parseRateLimit(text || '0') : (text ?? '');
          if (key === 'only-one' && value === '') continue; // unset and the default are the same
          expect(limit(after[key])).toEqual(limit(value));
        }
        const others = Object.keys(before ?? {}).filter(key => !(key in wanted.fields) && key !== 'comment');
        for (const key of others) expect(after[key]).toBe(before![key]);
        expect(planProfile(wanted, after)).toMatchObject({ outcome: 'unchanged', change: null });
      }),
      RUNS,
    );
  });

  it('takes another spelling of the same limit for no change', () => {
    const spellings = ['5M/20M', '5000k/20000k', '5000000/20000000', '5M/20M 0/0 0/0 0/0 8'];
    for (const observed of spellings)
      for (const wanted of spellings) {
        const profile = {
          name: 'p10',
          marker: 'rukun:plan:0193a2b4',
          adopt: false,
          release: false,
          fields: { 'rate-limit': wanted },
        };
        const row = { '.id': '*1', name: 'p10', 'rate-limit': observed, comment: 'rukun:plan:0193a2b4' };
        expect(planProfile(profile, row).outcome).toBe('unchanged');
      }
  });

  it('comes before the secrets that lean on it', () => {
    const router = new ModelRouter();
    const profile = { name: 'p99', marker: 'rukun:plan:0193a2b4', adopt: false, release: false, fields: {} };
    const wanted: DesiredItem = {
      ref: 'r',
      generation: 1,
      kind: 'ppp_secret',
      key: 'budi',
      marker: 'rukun:CUST00001',
      adopt: false,
      desired: { profile: 'p99', disabled: false, remote_address: null },
      release: false,
      password_written: false,
      end_session: false,
    };
    expect(() => router.apply(planSecret(wanted, undefined, 'a'))).toThrow('does not match');
    router.apply(planProfile(profile, undefined));
    router.apply(planSecret(wanted, undefined, 'a'));
    expect(router.find('/ppp/secret', 'budi')).toMatchObject({ profile: 'p99', service: 'pppoe' });
  });
});

describe('markers', () => {
  it('end the comment, and keep what stands before them', () => {
    fc.assert(
      fc.property(comment, marker, (before, mark) => {
        const after = withMarker(before, mark);
        expect(readMarker(after)).toBe(mark);
        const old = readMarker(before);
        const by_hand = (old ? before.slice(0, -old.length) : before).trim();
        expect(after).toBe(by_hand === '' ? mark : `${by_hand} ${mark}`);
        expect(withMarker(after, mark)).toBe(after);
      }),
      RUNS,
    );
  });

  it.each([undefined, '', 'rukun', 'rukun:', 'my-rukun:X', 'rukun:X and more', 'xrukun:Y'])('are not in %j', text => {
    expect(readMarker(text)).toBeNull();
  });
});

const line: fc.Arbitrary<CustomerLine> = fc.record({
  status: fc.constantFrom('pending_activation', 'active', 'suspended', 'terminated'),
  connection_type: fc.constantFrom('pppoe', 'hotspot', 'static'),
  router_id: fc.option(fc.uuid(), { nil: null }),
  pppoe_username: fc.option(name, { nil: null }),
  static_ip: fc.option(ip, { nil: null }),
});

const suspension: fc.Arbitrary<SuspensionSettings> = fc.record({
  suspension_policy: fc.constantFrom('disable', 'isolir'),
  isolir_profile: fc.constantFrom('isolir', 'blokir'),
  isolir_address_list: fc.constantFrom('isolir', 'blokir'),
  isolir_download_kbps: fc.integer({ min: 1, max: 100_000 }),
  isolir_upload_kbps: fc.integer({ min: 1, max: 100_000 }),
});

const optional_kbps = fc.option(fc.integer({ min: 1, max: 10_000_000 }), { nil: null });

const plan: fc.Arbitrary<PlanLine> = fc.record({
  id: fc.uuid(),
  profile_name,
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
});

describe('desiredRows', () => {
  it('P25 P27 P28 is a secret for those who are served, as the policy says, and nothing for anyone else', () => {
    fc.assert(
      fc.property(line, suspension, (customer, policy) => {
        const rows = desiredRows(customer, { profile_name: 'p10' }, policy);
        const { status, connection_type, router_id, pppoe_username, static_ip } = customer;
        const is_served = status === 'active' || status === 'suspended';
        if (!is_served || connection_type !== 'pppoe' || router_id === null || pppoe_username === null) {
          expect(rows).toEqual([]);
          return;
        }
        expect(rows).toHaveLength(1);
        expect(rows[0]).toMatchObject({ router_id, kind: 'ppp_secret', key: pppoe_username });
        const { desired } = rows[0]!;
        const cut = status === 'suspended' ? policy.suspension_policy : null;
        expect(desired.disabled).toBe(cut === 'disable');
        expect(desired.profile).toBe(cut === 'isolir' ? policy.isolir_profile : 'p10');
        expect(desired.remote_address || null).toBe(cut === 'isolir' ? null : static_ip);
      }),
      RUNS,
    );
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

  it('the profile manages its speed and what the plan says, and no more', () => {
    fc.assert(
      fc.property(plan, settings, fc.boolean(), (wanted, more, adopt) => {
        const { name, marker, fields, ...rest } = describePlanProfile(wanted, more, adopt);
        expect(rest).toEqual({ adopt, release: false });
        expect([name, marker]).toEqual([wanted.profile_name, `rukun:plan:${wanted.id.slice(0, 8)}`]);
        const says: Record<string, unknown> = {
          'rate-limit': true,
          'local-address': more.local_address,
          'remote-address': more.address_pool,
          'dns-server': more.dns_servers.length,
          'parent-queue': more.parent_queue,
          'queue-type': more.queue_type,
          'session-timeout': more.session_timeout,
          'only-one': more.max_devices === 1,
        };
        expect(new Set(Object.keys(fields))).toEqual(new Set(Object.keys(says).filter(key => says[key])));
      }),
      RUNS,
    );
  });

  it('the isolir profile has the speed and the list of the settings', () => {
    fc.assert(
      fc.property(suspension, policy => {
        const { name, fields, adopt } = describeIsolirProfile(policy);
        const limit = parseRateLimit(fields['rate-limit']!)!;
        expect([name, fields['address-list'], adopt]).toEqual([
          policy.isolir_profile,
          policy.isolir_address_list,
          false,
        ]);
        expect([limit.rx_bps, limit.tx_bps]).toEqual([
          policy.isolir_upload_kbps * 1000,
          policy.isolir_download_kbps * 1000,
        ]);
      }),
      RUNS,
    );
  });
});
