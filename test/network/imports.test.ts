import { env, SELF } from 'cloudflare:test';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import type { Context } from '../../src/context.ts';
import { runImportJob } from '../../src/jobs/import-secrets.ts';
import { formatExport, parseExport, quoteValue } from '../../src/lib/routeros/export-file.ts';
import { parseRateLimit } from '../../src/lib/routeros/values.ts';
import { planProfileFields } from '../../src/provisioning/desired.ts';
import type { JobMessage } from '../../src/queues/jobs.ts';
import { importFile } from '../../src/resources/imports/actions.ts';
import { planImport, type KnownState } from '../../src/resources/imports/rules.ts';
import {
  clearFaults,
  findProfile,
  findSecret,
  isOnline,
  dialIn,
  loadOnRouter,
  makeFaults,
  makeTestContext,
  NetworkTenant,
  readMenu,
  recordQueue,
  takeRouterAway,
  uniqueName,
  waitUntil,
  withBridgeCalls,
  type RouterRow,
} from '../support/network-world.ts';
import { TestTenant, type Answer } from '../support/world.ts';

afterEach(clearFaults);

type Query = Record<string, string | boolean>;

interface Told {
  line: number;
  name: string;
  reason: string;
}

interface Preview {
  creates: { line: number; name: string; full_name: string; profile: string; status: string; notes: string[] }[];
  skips: Told[];
  conflicts: Told[];
  plans: { line: number | null; name: string; profile_name: string; rate_limit: string | null; notes: string[] }[];
  ignored: { lines: number[]; menu: string; reason: string }[];
}

const upload = (tenant: TestTenant, rsc: string, query: Query = {}): Promise<Answer> =>
  tenant.call('POST', '/imports/file', { body: rsc, query, headers: { 'content-type': 'text/plain' } });

async function preview(tenant: TestTenant, rsc: string, query: Query = {}): Promise<Preview> {
  const answer = await upload(tenant, rsc, { dry_run: true, ...query });
  expect(answer.status, answer.text).toBe(202);
  return answer.data.preview;
}

const waitForJob = (tenant: TestTenant, id: string) =>
  waitUntil(
    () => tenant.get(`/jobs/${id}`),
    job => job.finished_at !== null,
    'the job does not end',
  );

/** Uploads, and waits for the last customer. */
async function importAll(tenant: TestTenant, rsc: string, query: Query = {}) {
  const answer = await upload(tenant, rsc, query);
  expect(answer.status, answer.text).toBe(202);
  return { ...answer.data, job: await waitForJob(tenant, answer.data.id) };
}

const countOf = async (tenant: TestTenant, table: string): Promise<number> => {
  const row = await (
    await tenant.database()
  )
    .prepare(`SELECT count(*) AS count FROM ${table}`)
    .first<{ count: number }>();
  return row!.count;
};

async function findCustomer(tenant: TestTenant, name: string) {
  const row = await (
    await tenant.database()
  )
    .prepare('SELECT id FROM customers WHERE pppoe_username = ?1 AND status <> ?2')
    .bind(name, 'terminated')
    .first<{ id: string }>();
  return row && tenant.get(`/customers/${row.id}`);
}

const nameTo = <T>(list: { name: string }[], pick: (entry: any) => T) =>
  Object.fromEntries(list.map(entry => [entry.name, pick(entry)]));

const V7 = String.raw`# 2026-11-02 08:14:31 by RouterOS 7.16.1
# software id = 4R2K-9QWE
#
# model = RB4011iGS+
# serial number = D4440C1A2B3C
/interface bridge
add admin-mac=48:A9:8A:00:11:22 auto-mac=no comment=defconf name=bridge
/ip pool
add name=pool-pppoe ranges=10.10.0.2-10.10.7.254
/ppp profile
set *0 dns-server=8.8.8.8,1.1.1.1 local-address=10.10.0.1
add local-address=10.10.0.1 name=paket-10m only-one=yes rate-limit=5M/10M \
    remote-address=pool-pppoe
add bridge=bridge comment="promo \"Merdeka\"" dns-server=1.1.1.1 local-address=\
    10.10.0.1 name="Paket 20 Mbps" on-up=":log info masuk" rate-limit=\
    "10M/20M 20M/40M 8M/16M 16/16 5" session-timeout=1d
add name=isolir rate-limit=64k/64k
add name=tak-dipakai rate-limit=1M/1M
/ppp secret
# poe-out status: short_circuit
add comment="Budi Santoso, RT 03/05" name=budi password=b1 profile=paket-10m \
    service=pppoe
add comment="Siti \C3\85 rukun:CUST00042" name=siti password="p\$s\"s\\x" \
    profile="Paket 20 Mbps" remote-address=10.10.1.7 service=pppoe
add disabled=yes name=agus password=c3 profile=paket-10m service=pppoe
add name=tanpa-sandi profile=paket-10m
add name=vpn-kantor password=d4 profile=default service=l2tp
add name=bawaan password=e5
add caller-id=AA:BB:CC:DD:EE:FF limit-bytes-in=1000000 name=terikat password=f6 \
    profile=paket-10m remote-address=pool-pppoe
add name=ditangguhkan password=g7 profile=isolir
add name=budi password=lagi profile=paket-10m
add name=hilang password=h8 profile=tidak-ada
add password=i9 profile=paket-10m
add comment="catatan panjang yang dipotong oleh router karena lebarnya hanya del\
    apan puluh kolom" name=panjang password=j10 profile=paket-10m
/system identity
set name=RB-Pusat
/system script
add name=pagi source="/ppp secret\r\
    \nadd name=palsu password=x"
:put "selesai"
/ppp aaa
set use-radius=yes
/ppp secret
set [ find name=budi ] disabled=no
add name=rusak password="tidak ditutup
`;

describe('an export of version 7', () => {
  test('each of its lines is told of', async () => {
    const tenant = await TestTenant.signUp();
    const told = await preview(tenant, V7);
    expect(nameTo(told.creates, ({ full_name, profile, status }) => [full_name, profile, status])).toEqual({
      budi: ['Budi Santoso, RT 03/05', 'paket-10m', 'active'],
      siti: ['Siti Å', 'Paket 20 Mbps', 'active'],
      agus: ['agus', 'paket-10m', 'suspended'],
      'tanpa-sandi': ['tanpa-sandi', 'paket-10m', 'active'],
      bawaan: ['bawaan', 'default', 'active'],
      terikat: ['terikat', 'paket-10m', 'active'],
      panjang: [
        'catatan panjang yang dipotong oleh router karena lebarnya hanya delapan puluh kolom',
        'paket-10m',
        'active',
      ],
    });
    const notes = nameTo(told.creates, entry => entry.notes.join('; '));
    expect(notes['tanpa-sandi']).toContain('no password');
    expect(notes.terikat).toMatch(/caller-id, limit-bytes-in, remote-address/);
    expect(nameTo(told.skips, entry => entry.reason)).toEqual({
      'vpn-kantor': expect.stringContaining('l2tp'),
      ditangguhkan: expect.stringContaining('isolir'),
      '': 'has no name',
    });
    expect(nameTo(told.conflicts, entry => entry.reason)).toEqual({
      budi: expect.stringMatching(/^line 21 /),
      hilang: expect.stringContaining('"tidak-ada" is not in the file'),
    });
    expect(nameTo(told.plans, ({ line, profile_name, rate_limit }) => [line, profile_name, rate_limit])).toEqual({
      'paket-10m': [12, 'paket-10m', null],
      'Paket 20 Mbps': [14, 'Paket 20 Mbps', null],
      default: [11, 'default', null],
    });
    expect(nameTo(told.plans, entry => entry.notes.join())['Paket 20 Mbps']).toMatch(/bridge, on-up/);
    const ignored = told.ignored.flatMap(group => group.lines.map(line => [line, group.menu, group.reason] as const));
    expect(ignored.sort((a, b) => a[0] - b[0])).toEqual([
      [7, '/interface/bridge', 'is not about PPPoE'],
      [9, '/ip/pool', 'is not about PPPoE'],
      [17, '/ppp/profile', 'is the profile of the suspended'],
      [18, '/ppp/profile', 'no secret that is imported is on it'],
      [38, '/system/identity', 'is not about PPPoE'],
      [40, '/system/script', 'is not about PPPoE'],
      [42, '', 'a script, which only a router can run'],
      [44, '/ppp/aaa', '`set` makes no entry'],
      [46, '/ppp/secret', '`set` makes no entry'],
      [47, '', expect.stringContaining('quote')],
    ]);
  });

  test('becomes customers, with their passwords, addresses and plans', async () => {
    const tenant = await TestTenant.signUp();
    const { job, import_id } = await importAll(tenant, V7);
    expect(job).toMatchObject({ status: 'completed', progress: 100, total: 7, succeeded: 7, failed: 0, errors: [] });
    expect(await countOf(tenant, 'customers')).toBe(7);
    const budi = await findCustomer(tenant, 'budi');
    expect(budi).toMatchObject({
      full_name: 'Budi Santoso, RT 03/05',
      status: 'active',
      phone: null,
      has_password: true,
      static_ip: null,
      router_id: null,
      connection_type: 'pppoe',
      monthly_fee: null,
    });
    expect(await findCustomer(tenant, 'siti')).toMatchObject({ static_ip: '10.10.1.7' });
    expect(await findCustomer(tenant, 'agus')).toMatchObject({ status: 'suspended', suspension_reason: 'manual' });
    expect(await findCustomer(tenant, 'tanpa-sandi')).toMatchObject({ has_password: false, pppoe_password: null });
    const plans = nameTo(await tenant.get('/service-plans', { is_active: 'false' }), plan => plan);
    expect(plans['Paket 20 Mbps']).toMatchObject({
      profile_name: 'Paket 20 Mbps',
      upload_kbps: 10_000,
      download_kbps: 20_000,
      rate_limit: null,
      price: null,
      is_active: false,
    });
    expect(await tenant.get(`/service-plans/${plans['Paket 20 Mbps'].id}/advanced`)).toMatchObject({
      burst_upload_kbps: 20_000,
      burst_download_kbps: 40_000,
      burst_threshold_upload_kbps: 8_000,
      burst_threshold_download_kbps: 16_000,
      burst_time_seconds: 16,
      priority: 5,
      session_timeout: 86_400,
      dns_servers: ['1.1.1.1'],
      local_address: '10.10.0.1',
    });
    expect(await tenant.get(`/service-plans/${plans['paket-10m'].id}/advanced`)).toMatchObject({
      max_devices: 1,
      address_pool: 'pool-pppoe',
    });
    const items = await tenant.get(`/imports/${import_id}/items`, { per_page: 100 });
    expect(items.map((item: { line: number; outcome: string }) => [item.line, item.outcome])).toEqual([
      [21, 'created'],
      [23, 'created'],
      [25, 'created'],
      [26, 'created'],
      [27, 'skip'],
      [28, 'created'],
      [29, 'created'],
      [31, 'skip'],
      [32, 'conflict'],
      [33, 'conflict'],
      [34, 'skip'],
      [35, 'created'],
    ]);
    expect(items[0].customer_id).toBe(budi.id);
    expect(items[4].customer_id).toBeNull();
    expect(await tenant.get(`/imports/${import_id}`)).toMatchObject({
      creates: 7,
      skips: 3,
      conflicts: 2,
      dry_run: false,
    });
    const conflicts = await tenant.get(`/imports/${import_id}/items`, { outcome: 'conflict' });
    expect(conflicts).toHaveLength(2);
  });

  test('the passwords of the file arrive on a router that the customers get later', async () => {
    const world = await NetworkTenant.make();
    const name = uniqueName();
    const profile = uniqueName('paket');
    const password = 'p$s"s\\x Å';
    await importAll(
      world.tenant,
      formatExport(
        [
          { menu: '/ppp/profile', verb: 'add', props: { name: profile, 'rate-limit': '5M/10M' } },
          { menu: '/ppp/secret', verb: 'add', props: { name, password, profile } },
        ],
        { version: '7.16' },
      ),
    );
    const { id } = await findCustomer(world.tenant, name);
    await world.tenant.put(`/customers/${id}`, { router_id: world.router_id });
    await world.waitFor(id);
    expect(await findSecret(name)).toMatchObject({ password, profile });
    expect(await findProfile(profile)).toMatchObject({ 'rate-limit': '5M/10M' });
  });

  test('P23 no password of it is told: not in the preview, the items, the job, the events', async () => {
    const tenant = await TestTenant.signUp();
    const rsc =
      '/ppp secret\nadd name=a password=sandi-satu\nadd name=b password=sandi-dua service=l2tp\nadd name=c password="sandi-tiga\n';
    const answer = await upload(tenant, rsc);
    await waitForJob(tenant, answer.data.id);
    const { import_id, id } = answer.data;
    const texts = [answer.text];
    for (const path of [
      `/imports/${import_id}/items`,
      `/jobs/${id}`,
      `/imports/${import_id}`,
      '/audit-logs',
      '/customers',
    ])
      texts.push((await tenant.call('GET', path)).text);
    const database = await tenant.database();
    for (const table of ['events', 'import_items', 'imports', 'jobs', 'customers'])
      texts.push(JSON.stringify((await database.prepare(`SELECT * FROM ${table}`).all()).results));
    for (const text of texts) expect(text).not.toMatch(/sandi-(satu|dua|tiga)/);
    // what the customers were made from is not kept either
    const kept = await database.prepare('SELECT count(*) AS count FROM import_items WHERE data IS NOT NULL').first();
    expect(kept).toEqual({ count: 0 });
  });
});

describe('an export of version 6', () => {
  const V6 = String.raw`# nov/02/2026 08:14:31 by RouterOS 6.48.6
# software id = 4R2K-9QWE
/ppp profile
set *0 local-address=10.0.0.1
add name=1M-2M rate-limit="1M/2M 0/0 0/0 0/0 8 512k/1M"
set *FFFFFFFE rate-limit=3M/3M
/ppp secret
add name=lama password="kata sandi" profile=1M-2M service=pppoe
add name=sandi-bawaan password=x profile=default-encryption
add name="nama dengan spasi" password=y profile=1M-2M
`;

  test('is read the same, whatever its line ends and byte order mark', async () => {
    const tenant = await TestTenant.signUp();
    const expected = await preview(tenant, V6);
    expect(expected.creates.map(entry => entry.name)).toEqual(['lama', 'sandi-bawaan', 'nama dengan spasi']);
    expect(nameTo(expected.plans, entry => entry.rate_limit)).toEqual({
      '1M-2M': '1M/2M 0/0 0/0 0/0 8 512k/1M',
      'default-encryption': null,
    });
    expect(expected.ignored).toEqual([
      { lines: [4], menu: '/ppp/profile', reason: 'no secret that is imported is on it' },
    ]);
    for (const text of [V6.replaceAll('\n', '\r\n'), `\ufeff${V6}`, `\ufeff${V6.replaceAll('\n', '\r\n')}`])
      expect(await preview(tenant, text)).toEqual(expected);
  });

  test('in the code page of an old Windows is read as such', async () => {
    const tenant = await TestTenant.signUp();
    const bytes = Uint8Array.from('/ppp secret\nadd comment="Caf\xe9 Ren\xe9" name=rene\n', char => char.charCodeAt(0));
    const response = await SELF.fetch('http://rukun.test/api/v1/imports/file?dry_run=true', {
      method: 'POST',
      body: bytes,
      headers: { authorization: `Bearer ${tenant.admin.token}`, 'content-type': 'text/plain' },
    });
    const { data } = (await response.json()) as { data: { preview: Preview } };
    expect(data.preview.creates[0]!.full_name).toBe('Café René');
  });
});

// generated files

const word = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/);
const value = fc.oneof(
  word,
  fc.string({ maxLength: 12 }),
  fc.constantFrom('a b', '"', '\\', '$x', 'é', '=', ';', '#', '{'),
);
const oneLine = (text: string) => text.replace(/[\r\n]/g, ' ');
const rate = fc.constantFrom(
  '5M/20M',
  '1M',
  '512k/1M 1M/2M 512k/1M 10/10 4',
  '3M/3M 0/0 0/0 0/0 8 1M/1M',
  '0/10M',
  '100/100',
);

interface Line {
  text: string;
  /** Whether something must be told of it. */
  counts: boolean;
  /** What must be open for it; null: any. */
  menu: string | null;
}

const command = (menu: string, verb: string, props: Record<string, string | undefined>): Line => ({
  text: [
    verb,
    ...Object.entries(props).flatMap(([key, text]) =>
      text === undefined ? [] : [`${key}=${quoteValue(oneLine(text))}`],
    ),
  ].join(' '),
  counts: true,
  menu,
});

const secret_props = fc.record(
  {
    name: fc.oneof({ weight: 4, arbitrary: word }, value, fc.constantFrom('budi', 'siti')),
    password: value,
    profile: fc.constantFrom('p1', 'p2', 'p3', 'default', 'isolir', 'hilang'),
    service: fc.constantFrom('any', 'pppoe', 'l2tp', 'ovpn'),
    comment: value,
    disabled: fc.constantFrom('yes', 'no'),
    'remote-address': fc.constantFrom('10.0.0.9', 'pool'),
    'caller-id': fc.constant('AA:BB:CC:DD:EE:FF'),
  },
  { requiredKeys: [] },
);

const profile_props = fc.record(
  {
    name: fc.constantFrom('p1', 'p2', 'p3', 'p4', 'isolir'),
    'rate-limit': rate,
    comment: value,
    'session-timeout': fc.constantFrom('1h', '90s', '1h500ms'),
  },
  { requiredKeys: [] },
);

const line: fc.Arbitrary<Line> = fc.oneof(
  { weight: 6, arbitrary: secret_props.map(props => command('/ppp secret', 'add', props)) },
  { weight: 3, arbitrary: profile_props.map(props => command('/ppp profile', 'add', props)) },
  fc.constantFrom(
    command('/ppp profile', 'set *0', { 'rate-limit': '9M/9M' }),
    command('/ppp profile', 'set *FFFFFFFE', {}),
    command('/ppp profile', 'set [ find name=p1 ]', { 'only-one': 'yes' }),
    command('/ppp secret', 'set [ find name=budi ]', { disabled: 'yes' }),
    command('/ppp secret', 'remove', { numbers: '0' }),
    command('/ip pool', 'add', { name: 'pool', ranges: '10.0.0.2-10.0.0.9' }),
    command('/system identity', 'set', { name: 'R1' }),
    { text: ':local x 1', counts: true, menu: null },
    { text: 'apa ini', counts: true, menu: null },
    { text: '/ppp secret print', counts: true, menu: null },
    { text: '/interface bridge add name=b1', counts: true, menu: null },
    { text: 'add name=belum password="tak ditutup', counts: true, menu: '/ppp secret' },
    { text: 'add name=[/system identity get name]', counts: true, menu: '/ppp secret' },
    { text: '# sebuah komentar', counts: false, menu: null },
    { text: '', counts: false, menu: null },
    { text: '   ', counts: false, menu: null },
  ),
);

const broken = fc.record({
  lines: fc.array(line, { maxLength: 25 }),
  breaks: fc.array(fc.nat(60), { maxLength: 6 }),
  crlf: fc.boolean(),
});

/** The file, and the lines of it that must be told of, once each. */
function writeFile({ lines, breaks, crlf }: { lines: Line[]; breaks: number[]; crlf: boolean }) {
  const rows: string[] = ['# nov/02/2026 08:14:31 by RouterOS 6.48.6'];
  const counted: number[] = [];
  let menu = '';
  lines.forEach(({ text, counts, menu: wanted }, index) => {
    if (wanted !== null && wanted !== menu) rows.push(wanted);
    menu = wanted ?? (counts ? '' : menu);
    if (counts) counted.push(rows.length + 1);
    // broken between two words, as a router does at the 80th column
    const place = text.indexOf(' ', breaks[index % Math.max(1, breaks.length)] ?? 1000);
    const is_breakable = wanted !== null && place > 0 && !text.slice(0, place).includes('"') && !/\[/.test(text);
    if (is_breakable) rows.push(`${text.slice(0, place)} \\`, `    ${text.slice(place + 1)}`);
    else rows.push(text);
  });
  return { rsc: rows.join(crlf ? '\r\n' : '\n') + '\n', counted };
}

describe('whatever a file holds', () => {
  test('nothing is dropped in silence: each command is in exactly one list', async () => {
    const tenant = await TestTenant.signUp();
    await fc.assert(
      fc.asyncProperty(broken, fc.boolean(), async (parts, filter_disabled) => {
        const { rsc, counted } = writeFile(parts);
        const told = await preview(tenant, rsc, { filter_disabled });
        const lines = [
          ...[...told.creates, ...told.skips, ...told.conflicts].map(entry => entry.line),
          ...told.plans.flatMap(plan => plan.line ?? []),
          ...told.ignored.flatMap(group => group.lines),
        ];
        expect(
          lines.sort((a, b) => a - b),
          rsc,
        ).toEqual(counted);
        const reasons = [...told.skips, ...told.conflicts, ...told.ignored].map(entry => entry.reason);
        expect(reasons.every(reason => reason.length > 5)).toBe(true);
      }),
      { numRuns: 150 },
    );
  });

  test('what the dry run says is what is then done', async () => {
    const tenant = await TestTenant.signUp();
    let tag = 0;
    await fc.assert(
      fc.asyncProperty(broken, async parts => {
        // names of this run alone: those of earlier runs are taken
        tag++;
        const renamed = writeFile(parts)
          .rsc.replace(/name=(budi|siti|p\d|[a-z][a-z0-9-]*)(?=[ \r\n])/g, `name=r${tag}-$1`)
          .replace(/profile=(p\d)/g, `profile=r${tag}-$1`);
        const told = await preview(tenant, renamed);
        const before = await countOf(tenant, 'customers');
        const answer = await importAll(tenant, renamed);
        expect(answer.preview).toEqual(told);
        expect(answer.job).toMatchObject({ status: 'completed', succeeded: told.creates.length, failed: 0 });
        expect(await countOf(tenant, 'customers')).toBe(before + told.creates.length);
        const items = await tenant.get(`/imports/${answer.import_id}/items`, { per_page: 100 });
        const outcomes = (list: { line: number }[], outcome: string) => list.map(entry => [entry.line, outcome]);
        expect(items.map((item: { line: number; outcome: string }) => [item.line, item.outcome])).toEqual(
          [
            ...outcomes(told.creates, 'created'),
            ...outcomes(told.skips, 'skip'),
            ...outcomes(told.conflicts, 'conflict'),
          ].sort((a, b) => Number(a[0]) - Number(b[0])),
        );
      }),
      { numRuns: 100 },
    );
  });

  test('a dry run stores no customer and no plan', async () => {
    const tenant = await TestTenant.signUp();
    const tables = ['customers', 'service_plans', 'service_plan_settings', 'provisioning', 'sequences'];
    const counts = () => Promise.all(tables.map(table => countOf(tenant, table)));
    const before = await counts();
    await fc.assert(
      fc.asyncProperty(broken, async parts => {
        const { data } = await upload(tenant, writeFile(parts).rsc, { dry_run: true });
        expect(data).toMatchObject({ dry_run: true, status: 'completed', progress: 100 });
        expect(await counts()).toEqual(before);
      }),
      { numRuns: 100 },
    );
    const kept = await (
      await tenant.database()
    )
      .prepare('SELECT count(*) AS count FROM import_items WHERE data IS NOT NULL')
      .first();
    expect(kept).toEqual({ count: 0 });
  });

  test('the order of values in a line means nothing', async () => {
    const tenant = await TestTenant.signUp();
    const props: Record<string, string> = {
      name: 'budi',
      password: 'x',
      profile: 'p1',
      service: 'pppoe',
      comment: 'Pak Budi',
      disabled: 'yes',
      'remote-address': '10.0.0.9',
    };
    const file = (order: string[]) =>
      `/ppp profile\nadd name=p1 rate-limit=5M/5M\n/ppp secret\nadd ${order.map(key => `${key}="${props[key]}"`).join(' ')}\n`;
    const expected = await preview(tenant, file(Object.keys(props)));
    expect(expected.creates).toMatchObject([{ name: 'budi', full_name: 'Pak Budi', status: 'suspended' }]);
    await fc.assert(
      fc.asyncProperty(fc.shuffledSubarray(Object.keys(props), { minLength: 7 }), async order => {
        expect(await preview(tenant, file(order))).toEqual(expected);
      }),
      { numRuns: 100 },
    );
  });

  test('two secrets on one line: the second is told of, not lost', async () => {
    const tenant = await TestTenant.signUp();
    const { job, preview: told } = await importAll(tenant, '/ppp secret add name=a; /ppp secret add name=b\n');
    expect(told.creates.map((entry: { name: string }) => entry.name)).toEqual(['a']);
    expect(told.ignored).toEqual([
      { lines: [1], menu: '/ppp/secret', reason: expect.stringContaining('line of its own') },
    ]);
    expect(job.succeeded).toBe(1);
  });

  test.each([
    ['no text', '', {}, 400],
    ['JSON', '{}', { 'content-type': 'application/json' }, 415],
  ] as const)('%s is refused', async (_what, body, headers, status) => {
    const tenant = await TestTenant.signUp();
    const answer = await tenant.call('POST', '/imports/file', {
      body,
      headers: { 'content-type': 'text/plain', ...headers },
    });
    expect(answer.status).toBe(status);
  });

  test('P13 a router that is not there is refused', async () => {
    const tenant = await TestTenant.signUp();
    const answer = await upload(tenant, '/ppp secret\nadd name=a\n', { router_id: crypto.randomUUID() });
    expect([answer.status, Object.keys(answer.error.details ?? {})]).toEqual([400, ['router_id']]);
    expect(await countOf(tenant, 'imports')).toBe(0);
  });
});

describe('what is there already', () => {
  const FILE = '/ppp profile\nadd name=p1 rate-limit=5M/20M\n/ppp secret\nadd name=budi password=x profile=p1\n';

  test('a plan of that profile is used when it says the same, and stands in the way when not', async () => {
    const tenant = await TestTenant.signUp();
    const plan = await tenant.addPlan({ profile_name: 'p1', download_kbps: 20_000, upload_kbps: 5_000 });
    const same = await preview(tenant, FILE);
    expect([same.creates.length, same.plans]).toEqual([1, []]);
    expect(same.ignored).toEqual([{ lines: [2], menu: '/ppp/profile', reason: expect.stringContaining(plan.name) }]);
    await tenant.put(`/service-plans/${plan.id}`, { download_kbps: 21_000 });
    const other = await preview(tenant, FILE);
    expect(other.creates).toEqual([]);
    expect(other.conflicts[0]!.reason).toMatch(/rate-limit=5M\/21M.* line 2 says 5M\/20M/);
    // also in what is beyond the speed
    await tenant.put(`/service-plans/${plan.id}`, { download_kbps: 20_000 });
    await tenant.put(`/service-plans/${plan.id}/advanced`, { address_pool: 'pool-1' });
    expect((await preview(tenant, FILE)).conflicts[0]!.reason).toContain('remote-address=pool-1');
    await tenant.put(`/service-plans/${plan.id}/advanced`, { address_pool: null });
    await importAll(tenant, FILE);
    expect(await findCustomer(tenant, 'budi')).toMatchObject({ service_plan_id: plan.id });
  });

  test('a plan whose profile the file does not show is not put onto the router', async () => {
    const world = await NetworkTenant.make();
    await world.tenant.addPlan({ profile_name: 'p1' });
    const secrets_only = '/ppp secret\nadd name=budi password=x profile=p1\n';
    const adopting = await preview(world.tenant, secrets_only, { router_id: world.router_id });
    expect(adopting.conflicts).toMatchObject([{ name: 'budi', reason: expect.stringContaining('is not in the file') }]);
    // without a router nothing is adopted, so nothing can change
    expect((await preview(world.tenant, secrets_only)).creates).toHaveLength(1);
  });

  test('a built-in profile that the file leaves out is as it was built in', async () => {
    const tenant = await TestTenant.signUp();
    const file = '/ppp secret\nadd name=budi password=x\n';
    await importAll(tenant, file);
    expect(await preview(tenant, file.replace('budi', 'siti'))).toMatchObject({
      creates: [{ profile: 'default' }],
      plans: [],
    });
    const [plan] = await tenant.get('/service-plans', { is_active: 'all' });
    expect(plan).toMatchObject({ profile_name: 'default', rate_limit: null, download_kbps: null });
    await tenant.put(`/service-plans/${plan.id}/advanced`, { is_unlimited: false });
    await tenant.put(`/service-plans/${plan.id}`, { download_kbps: 1000, upload_kbps: 1000 });
    expect((await preview(tenant, file.replace('budi', 'siti'))).conflicts).toMatchObject([{ name: 'siti' }]);
  });

  test('a PPPoE name that a customer has is a conflict; that of one who left is free', async () => {
    const tenant = await TestTenant.signUp();
    const plan = await tenant.addPlan();
    const customer = await tenant.addCustomer(plan.id, { pppoe_username: 'budi' });
    expect((await preview(tenant, FILE)).conflicts).toEqual([
      { line: 4, name: 'budi', reason: `customer ${customer.customer_code} has that PPPoE name already` },
    ]);
    await tenant.post(`/customers/${customer.id}/terminate`, {});
    expect((await preview(tenant, FILE)).creates).toHaveLength(1);
  });

  test('the same file again makes nothing twice', async () => {
    const tenant = await TestTenant.signUp();
    await importAll(tenant, V7);
    const customers = await countOf(tenant, 'customers');
    const { preview: told, job } = await importAll(tenant, V7);
    expect([told.creates, told.plans, job.status]).toEqual([[], [], 'completed']);
    expect(await countOf(tenant, 'customers')).toBe(customers);
  });

  test('a plan of the same name with another profile leaves the name alone', async () => {
    const tenant = await TestTenant.signUp();
    await tenant.addPlan({ name: 'p1', profile_name: 'lain' });
    expect((await preview(tenant, FILE)).plans).toMatchObject([{ name: 'p1 (router)', profile_name: 'p1' }]);
    await importAll(tenant, FILE);
    expect(await findCustomer(tenant, 'budi')).toMatchObject({ status: 'active' });
  });

  test('disabled ones are skipped on request', async () => {
    const tenant = await TestTenant.signUp();
    const file = '/ppp secret\nadd name=a\nadd disabled=yes name=b\nadd disabled name=c\nadd disabled=no name=d\n';
    const names = (list: { name: string }[]) => list.map(entry => entry.name);
    const all = await preview(tenant, file);
    expect([names(all.creates), names(all.skips)]).toEqual([['a', 'b', 'c', 'd'], []]);
    const some = await preview(tenant, file, { filter_disabled: true });
    expect([names(some.creates), names(some.skips)]).toEqual([
      ['a', 'd'],
      ['b', 'c'],
    ]);
  });
});

/** A file of `count` secrets on three profiles, as /export writes it. */
function makeExport(count: number, prefix = 'pelanggan'): string {
  const profiles = [1, 2, 3].map(at => ({
    menu: '/ppp/profile',
    verb: 'add',
    props: { name: `${prefix}-p${at}`, 'rate-limit': `${at}M/${at * 2}M` },
  }));
  const secrets = Array.from({ length: count }, (_, at) => ({
    menu: '/ppp/secret',
    verb: 'add',
    props: {
      comment: `Pelanggan ${at}, Jl. Melati RT 0${at % 9}/05`,
      name: `${prefix}-${at}`,
      password: `sandi-${at * 7919}`,
      profile: `${prefix}-p${1 + (at % 3)}`,
      service: 'pppoe',
      ...(at % 10 === 0 && { disabled: 'yes' }),
      ...(at % 4 === 0 && { 'remote-address': `10.${20 + (at >> 16)}.${(at >> 8) & 255}.${at & 255}` }),
    },
  }));
  return formatExport([...profiles, ...secrets], { version: '7.16' });
}

describe('the job', () => {
  /** Stores the import, and wakes nobody: the test runs the job. */
  async function prepare(tenant: TestTenant, rsc: string) {
    const { queue, sent } = recordQueue<JobMessage>();
    const ctx = await makeTestContext(tenant, { env: { ...env, JOBS_QUEUE: queue } });
    const answer = await importFile(ctx, { dry_run: false, filter_disabled: false }, rsc);
    expect(sent.map(message => message.body)).toEqual([{ tenant_id: tenant.id, kind: 'import', job_id: answer.id }]);
    return answer;
  }

  /** A context whose worker dies at the `at`-th time that it speaks to the database. */
  async function makeMortal(tenant: TestTenant, at: number): Promise<Context> {
    const ctx = await makeTestContext(tenant);
    const { session } = ctx.db;
    let trips = 0;
    const batch: D1DatabaseSession['batch'] = statements => {
      if (++trips >= at) throw new Error('the worker died');
      return session.batch(statements);
    };
    const mortal = {
      prepare: (query: string) => session.prepare(query),
      batch,
      getBookmark: () => session.getBookmark(),
    };
    return { ...ctx, db: { ...ctx.db, session: mortal as D1DatabaseSession } };
  }

  async function expectWhole(tenant: TestTenant, job_id: string, count: number) {
    expect(await tenant.get(`/jobs/${job_id}`)).toMatchObject({
      status: 'completed',
      progress: 100,
      succeeded: count,
      failed: 0,
    });
    const database = await tenant.database();
    const { names, codes, customers } = (await database
      .prepare(
        'SELECT count(*) AS customers, count(DISTINCT pppoe_username) AS names, count(DISTINCT customer_code) AS codes FROM customers',
      )
      .first<{ customers: number; names: number; codes: number }>())!;
    expect([customers, names, codes]).toEqual([count, count, count]);
    const [told] = (
      await database
        .prepare(`SELECT count(*) AS count FROM events WHERE type = 'customer.created'`)
        .all<{ count: number }>()
    ).results;
    expect(told!.count).toBe(count);
  }

  test.each([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])(
    'that died at step %i goes on, and makes no customer twice',
    async step => {
      const tenant = await TestTenant.signUp();
      const { id } = await prepare(tenant, makeExport(1_100));
      await expect(runImportJob(await makeMortal(tenant, step), id)).rejects.toThrow('the worker died');
      const { status, finished_at, succeeded } = await tenant.get(`/jobs/${id}`);
      expect([['queued', 'running'].includes(status), finished_at]).toEqual([true, null]);
      expect([0, 500, 1_000, 1_100]).toContain(succeeded);
      await runImportJob(await makeTestContext(tenant), id);
      await expectWhole(tenant, id, 1_100);
    },
  );

  test('whose plan was deleted meanwhile ends as failed, and says why', async () => {
    const tenant = await TestTenant.signUp();
    const { id } = await prepare(tenant, makeExport(3));
    const plans = await tenant.get('/service-plans', { is_active: 'all' });
    for (const plan of plans) expect((await tenant.call('DELETE', `/service-plans/${plan.id}`)).status).toBe(200);
    await runImportJob(await makeTestContext(tenant), id);
    const job = await tenant.get(`/jobs/${id}`);
    expect(job).toMatchObject({ status: 'failed', succeeded: 0, failed: 3, errors: [expect.any(String)] });
    const items = await tenant.get(`/imports/${job.subject_id}/items`);
    expect(items.map((item: { outcome: string }) => item.outcome)).toEqual(['failed', 'failed', 'failed']);
  });

  test('run several times at once makes no customer twice', async () => {
    const tenant = await TestTenant.signUp();
    const { id } = await prepare(tenant, makeExport(1_200));
    await Promise.all(Array.from({ length: 4 }, async () => runImportJob(await makeTestContext(tenant), id)));
    await runImportJob(await makeTestContext(tenant), id);
    await expectWhole(tenant, id, 1_200);
  });

  test('tells of a name that was taken meanwhile', async () => {
    const tenant = await TestTenant.signUp();
    const { id, import_id } = await prepare(tenant, makeExport(5, 'x'));
    await tenant.addCustomer((await tenant.addPlan()).id, { pppoe_username: 'x-3' });
    await runImportJob(await makeTestContext(tenant), id);
    const job = await tenant.get(`/jobs/${id}`);
    expect(job).toMatchObject({ status: 'completed', progress: 100, succeeded: 4, failed: 1 });
    expect(job.errors[0]).toContain('"x-3" was taken meanwhile');
    const [conflict, ...others] = await tenant.get(`/imports/${import_id}/items`, { outcome: 'conflict' });
    expect([conflict.name, conflict.customer_id, others.length]).toEqual(['x-3', null, 0]);
  });

  /** Lets somebody in just before the customers are written: in the fourth trip. */
  async function runBeside(tenant: TestTenant, id: string, somebody: () => Promise<unknown>): Promise<void> {
    const ctx = await makeTestContext(tenant);
    const { session } = ctx.db;
    let trips = 0;
    const late = {
      prepare: (query: string) => session.prepare(query),
      batch: async (statements: D1PreparedStatement[]) => {
        if (++trips === 4) await somebody();
        return session.batch(statements);
      },
      getBookmark: () => session.getBookmark(),
    };
    await runImportJob({ ...ctx, db: { ...ctx.db, session: late as unknown as D1DatabaseSession } }, id);
  }

  test('a name that is taken between its look and its write is looked at again', async () => {
    const tenant = await TestTenant.signUp();
    const { id } = await prepare(tenant, makeExport(5, 'y'));
    const plan = await tenant.addPlan();
    await runBeside(tenant, id, () => tenant.addCustomer(plan.id, { pppoe_username: 'y-2' }));
    expect(await tenant.get(`/jobs/${id}`)).toMatchObject({ status: 'completed', succeeded: 4, failed: 1 });
  });

  test('a plan that is priced between its look and its write gives its customers that fee', async () => {
    const tenant = await TestTenant.signUp();
    const { id } = await prepare(tenant, makeExport(5, 'z'));
    const plans = await tenant.get('/service-plans', { is_active: 'all' });
    await runBeside(tenant, id, async () => {
      for (const plan of plans) await tenant.put(`/service-plans/${plan.id}`, { price: 150_000 });
    });
    const fees = (await tenant.get('/customers')).map((customer: { monthly_fee: number }) => customer.monthly_fee);
    expect(fees).toEqual(Array(5).fill(150_000));
  });

  test('P08 takes no more codes than it makes customers', async () => {
    const tenant = await TestTenant.signUp();
    await importAll(tenant, makeExport(3));
    const { customer_code } = await tenant.addCustomer((await tenant.addPlan()).id);
    expect(customer_code).toBe('CUST00004');
  });

  // how long that takes is told by `npm run bench`
  test('1,000 secrets are customers after a dozen round trips to the database', async () => {
    const tenant = await TestTenant.signUp();
    const { id, import_id } = await prepare(tenant, makeExport(1_000));
    const ctx = await makeTestContext(tenant);
    await runImportJob(ctx, id);
    expect(ctx.db.stats.round_trips).toBeLessThan(13);
    const rows_of_1000 = ctx.db.stats.rows_read;
    expect(await tenant.get(`/jobs/${id}`)).toMatchObject({ total: 1_000, succeeded: 1_000, failed: 0 });
    expect(await countOf(tenant, 'customers')).toBe(1_000);
    expect((await tenant.call('GET', '/customers', { query: { status: 'suspended' } })).meta.total).toBe(100);
    const created = { query: { outcome: 'created' } };
    expect((await tenant.call('GET', `/imports/${import_id}/items`, created)).meta.total).toBe(1_000);
    // four times as many cost some four times as much
    const more = await prepare(tenant, makeExport(4_000, 'more'));
    const later = await makeTestContext(tenant);
    await runImportJob(later, more.id);
    expect(later.db.stats.rows_read).toBeLessThan(8 * rows_of_1000);
  });
});

describe('adoption', () => {
  const LINES = 120;
  const rates = [
    '5M/10M',
    '10M',
    '1500000/3000000',
    '512k/1M 1M/2M 400k/800k 16/16 5',
    '512k/1M 1M/2M 400k/800k 10s/16s 5',
    '2M/4M 4M/8M',
    '2M/4M 4M/8M 1M/2M',
    '2M/4M 4M/8M 1M/2M 8',
    '3M/3M 0/0 0/0 0/0 3',
    '3M/3M 0/0 0/0 0/0 8 1M/1M',
    '0/10M',
    '1M/0',
    '0/0',
    '1234/5678',
    '1.5M/2.5M',
    '1G/2G 0/0 0/0 0/0 8',
  ];

  /** A router as one finds it: odd rates, odd comments, disabled ones, addresses, VPN users. */
  function makeFound(tag: string) {
    const profiles = rates.map((limit, at) => ({
      menu: '/ppp/profile',
      verb: 'add',
      props: {
        name: `${tag}-p${at}`,
        'rate-limit': limit,
        ...(at % 3 === 0 && { comment: `paket lama "${at}"` }),
        ...(at % 4 === 0 && { 'only-one': 'yes', 'session-timeout': '1d2h', 'dns-server': '8.8.8.8,1.1.1.1' }),
        ...(at % 5 === 0 && { 'local-address': '10.60.0.1', 'remote-address': `${tag}-pool` }),
      },
    }));
    const secrets = Array.from({ length: LINES }, (_, at) => ({
      menu: '/ppp/secret',
      verb: 'add',
      props: {
        name: at % 7 === 0 ? `${tag} nama ${at}` : `${tag}-${at}`,
        password: ['rahasia', 'p$s"s\\x', 'kata sandi Å', '1234'][at % 4]!,
        profile: `${tag}-p${at % rates.length}`,
        service: ['any', 'pppoe', 'l2tp'][at % 11 === 0 ? 2 : at % 2]!,
        ...(at % 3 === 0 && { comment: `Bu Siti, RT 0${at % 9} "pojok" é` }),
        ...(at % 10 === 0 && { disabled: 'yes' }),
        ...(at % 6 === 0 && { 'remote-address': `10.61.0.${at}` }),
        ...(at % 13 === 0 && { 'remote-address': `${tag}-pool` }),
        ...(at % 17 === 0 && { 'caller-id': 'AA:BB:CC:DD:EE:FF', 'limit-bytes-in': '1000000' }),
      },
    }));
    const pool = { menu: '/ip/pool', verb: 'add', props: { name: `${tag}-pool`, ranges: '10.60.0.2-10.60.3.254' } };
    return formatExport([pool, ...profiles, ...secrets], { version: '7.16' });
  }

  const rowsOf = async (tag: string): Promise<Map<string, RouterRow>> => {
    const menus = ['/ppp/profile', '/ppp/secret'] as const;
    const rows = await Promise.all(
      menus.map(async menu => (await readMenu(menu)).map(row => [`${menu} ${row.name}`, row] as const)),
    );
    return new Map(rows.flat().filter(([, row]) => row.name!.startsWith(tag)));
  };

  const waitForAll = (world: NetworkTenant) =>
    waitUntil(
      () =>
        world.query<{ status: string; last_error: string }>(
          `SELECT status, last_error FROM provisioning WHERE status <> 'in_sync'`,
        ),
      rows => rows.length === 0,
      'not all lines are confirmed',
    );

  test('of a router changes nothing there but the ownership marker, and the next look writes nothing', async () => {
    const world = await NetworkTenant.make();
    const tag = uniqueName('temuan');
    const rsc = makeFound(tag);
    await loadOnRouter(rsc);
    const online = `${tag}-1`;
    expect(await dialIn(online)).toBe(true);
    const before = await rowsOf(tag);
    expect(before.size).toBe(LINES + rates.length);

    const { preview: told } = await importAll(world.tenant, rsc, { router_id: world.router_id });
    const adopted: string[] = told.creates.map((entry: { name: string }) => entry.name);
    expect(adopted.length + told.skips.length).toBe(LINES);
    expect([told.conflicts, told.plans.length]).toEqual([[], rates.length]);
    await waitForAll(world);

    const after = await rowsOf(tag);
    const codes = new Map(
      (
        await world.query<{ name: string; code: string }>(
          'SELECT pppoe_username AS name, customer_code AS code FROM customers',
        )
      ).map(({ name, code }) => [name, code]),
    );
    const plans = new Map(
      (await world.query<{ profile_name: string; id: string }>('SELECT profile_name, id FROM service_plans')).map(
        row => [row.profile_name, row.id],
      ),
    );
    const expected = [...before].map(([place, row]) => {
      const code = place.startsWith('/ppp/profile')
        ? `plan:${plans.get(row.name!)!.slice(0, 8)}`
        : codes.get(row.name!);
      if (!code) return [place, row] as const;
      return [place, { ...row, comment: [row.comment, `rukun:${code}`].filter(Boolean).join(' ') }] as const;
    });
    expect(after).toEqual(new Map(expected));
    expect(codes.size).toBe(adopted.length);
    // and nobody was thrown off the line
    expect(await isOnline(online)).toBe(true);

    await world.query(`UPDATE provisioning SET status = 'pending', next_attempt_at = 1`);
    await withBridgeCalls(async calls => {
      await world.look();
      expect(calls).toHaveLength(1);
      const outcomes = calls[0]!.answer.entries.map(result => result.outcome);
      expect(new Set(outcomes)).toEqual(new Set(['unchanged']));
      expect(outcomes).toHaveLength(adopted.length + rates.length);
      expect(calls[0]!.answer.commands_sent).toBe(2);
    });
    expect(await rowsOf(tag)).toEqual(after);
  });

  test('of a router that hides passwords writes none', async () => {
    const world = await NetworkTenant.make();
    const tag = uniqueName('temuan');
    const rsc = `/ppp profile\nadd name=${tag}-p rate-limit=1M/1M\n/ppp secret\nadd name=${tag}-a password=asli profile=${tag}-p\nadd name=${tag}-b password=asli profile=${tag}-p\n`;
    await loadOnRouter(rsc);
    const before = await rowsOf(tag);

    await makeFaults({ no_sensitive: true });
    // as version 7 exports unless told otherwise: one without, one with its password
    await importAll(world.tenant, rsc.replace('name=' + tag + '-b password=asli', `name=${tag}-b`), {
      router_id: world.router_id,
    });
    await waitForAll(world);
    await clearFaults();
    const bare = ([place, row]: [string, RouterRow]) => [place, { ...row, comment: '' }] as const;
    expect(new Map([...(await rowsOf(tag))].map(bare))).toEqual(new Map([...before].map(bare)));
  });

  test('what became ours follows from then on', async () => {
    const world = await NetworkTenant.make();
    const tag = uniqueName('temuan');
    const rsc = `/ppp profile\nadd name=${tag}-p rate-limit=1M/1M\n/ppp secret\nadd name=${tag} password=asli profile=${tag}-p comment="pak RT"\n`;
    await loadOnRouter(rsc);
    await importAll(world.tenant, rsc, { router_id: world.router_id });
    await waitForAll(world);
    const { id, customer_code } = await findCustomer(world.tenant, tag);
    await world.tenant.post(`/customers/${id}/suspend`, {});
    await world.waitFor(id);
    expect(await findSecret(tag)).toMatchObject({
      disabled: 'true',
      comment: `pak RT rukun:${customer_code}`,
      password: 'asli',
    });
    await world.tenant.post(`/customers/${id}/terminate`, {});
    await world.waitFor(id);
    expect(await findSecret(tag)).toBeUndefined();
  });

  test('P29 of a router that is away waits, and is done once it is back', async () => {
    const world = await NetworkTenant.make();

    const tag = uniqueName('temuan');
    const rsc = `/ppp profile\nadd name=${tag}-p\n/ppp secret\nadd name=${tag} password=asli profile=${tag}-p\n`;
    await loadOnRouter(rsc);
    await takeRouterAway();
    await importAll(world.tenant, rsc, { router_id: world.router_id });
    const { id } = await findCustomer(world.tenant, tag);
    await world.waitForTry(id);
    expect((await findSecret(tag))?.comment).toBeUndefined();
    await clearFaults();
    await world.makeDue();
    await world.look();
    expect((await findSecret(tag))?.comment).toMatch(/^rukun:/);
  });

  test('changes no speed: a plan says of the limit what the profile said, in whatever form', () => {
    const bps = fc.oneof(
      fc.integer({ min: 1, max: 2_000 }).map(n => n * 1_000_000),
      fc.integer({ min: 1, max: 9_999 }).map(n => n * 1_000),
      fc.integer({ min: 0, max: 4_000_000_000 }),
      fc.constant(0),
    );
    const pair = fc.tuple(bps, bps);
    const limit = fc.record({
      rate: pair,
      burst: pair,
      threshold: pair,
      time: fc.tuple(fc.nat(60), fc.nat(60)),
      priority: fc.integer({ min: 1, max: 8 }),
      min: pair,
      parts: fc.integer({ min: 1, max: 6 }),
    });
    const form = fc.record({
      units: fc.boolean(),
      upper: fc.boolean(),
      short: fc.boolean(),
      seconds: fc.boolean(),
      gap: fc.constantFrom(' ', '  '),
    });
    const known: KnownState = {
      taken_names: new Map(),
      plans: new Map(),
      plan_names: new Set(),
      isolir_profile: 'isolir',
    };
    fc.assert(
      fc.property(limit, form, (wanted, { units, upper, short, seconds, gap }) => {
        const one = (n: number) => {
          if (!units || n === 0) return String(n);
          const [unit, size] = (
            [
              ['G', 1e9],
              ['M', 1e6],
              ['k', 1e3],
              ['', 1],
            ] as const
          ).find(([, size]) => n % size === 0)!;
          return `${n / size}${upper ? unit.toUpperCase() : unit}`;
        };
        const two = ([a, b]: readonly number[], write: (n: number) => string) =>
          short && a === b ? write(a!) : `${write(a!)}/${write(b!)}`;
        const { rate, burst, threshold, time, priority, min, parts } = wanted;
        const text = [
          two(rate, one),
          two(burst, one),
          two(threshold, one),
          two(time, n => `${n}${seconds ? 's' : ''}`),
          String(priority),
          two(min, one),
        ]
          .slice(0, parts)
          .join(gap);
        const file = parseExport(
          `/ppp profile\nadd name=p rate-limit="${text}"\n/ppp secret\nadd name=budi profile=p\n`,
        );
        const { plans } = planImport(file, known, { filter_disabled: false, adopts: true });
        const [draft] = plans;
        const fields = planProfileFields({ ...draft!, id: crypto.randomUUID() }, draft!.settings);
        const said = parseRateLimit(fields['rate-limit'] || '0')!;
        const nothing = [0, 0];
        const is_given = (at: number) => parts > at;
        expect(said, text).toEqual({
          rx_bps: rate[0],
          tx_bps: rate[1],
          burst_rx_bps: (is_given(1) ? burst : nothing)[0],
          burst_tx_bps: (is_given(1) ? burst : nothing)[1],
          threshold_rx_bps: (is_given(2) ? threshold : nothing)[0],
          threshold_tx_bps: (is_given(2) ? threshold : nothing)[1],
          burst_time_rx_s: (is_given(3) ? time : nothing)[0],
          burst_time_tx_s: (is_given(3) ? time : nothing)[1],
          priority: is_given(4) ? priority : 8,
          min_rx_bps: (is_given(5) ? min : nothing)[0],
          min_tx_bps: (is_given(5) ? min : nothing)[1],
        });
        // what is stored is whole numbers above zero, or nothing
        for (const stored of [draft!.download_kbps, draft!.upload_kbps])
          expect(stored === null || (Number.isInteger(stored) && stored > 0)).toBe(true);
        const { burst_time_seconds } = draft!.settings;
        expect(burst_time_seconds === null || Number.isInteger(burst_time_seconds)).toBe(true);
      }),
      { numRuns: 1_000 },
    );
  });

  test('no time of a profile is stored as a fraction', async () => {
    const tenant = await TestTenant.signUp();
    const rsc = `/ppp profile\nadd name=p rate-limit="1M/1M 2M/2M 1M/1M 1500ms/1500ms" session-timeout=1h500ms\n/ppp secret\nadd name=budi profile=p\n`;
    const { job } = await importAll(tenant, rsc);
    expect(job.succeeded).toBe(1);
    const [plan] = await tenant.get('/service-plans', { is_active: 'all' });
    expect(plan.rate_limit).toBe('1M/1M 2M/2M 1M/1M 1500ms/1500ms');
  });
});
