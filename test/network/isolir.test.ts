import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  clearFaults,
  dialIn,
  emptyRouter,
  findProfile,
  findRow,
  loadOnRouter,
  NetworkTenant,
  readMenu,
  settle,
  takeRouterAway,
  withBridgeCalls,
  type RouterRow,
} from '../support/network-world.ts';

/** The walled garden of the suspended: made on a router on request, named and rated by the settings, taken back. */

beforeEach(emptyRouter);
afterEach(clearFaults);

const LIST = '/ip/firewall/address-list';
const FILTER = '/ip/firewall/filter';
const NAT = '/ip/firewall/nat';

const PAGE = { page_address: '203.0.113.5', page_port: 8080, allowed_addresses: ['198.51.100.0/24'] };

const setUp = (world: NetworkTenant, mode: string, variables: object = PAGE) =>
  world.tenant.post(`/routers/${world.router_id}/setup`, { template: 'isolir', mode, variables });
const takeBack = (world: NetworkTenant) =>
  world.tenant.post(`/routers/${world.router_id}/setup/rollback`, { template: 'isolir' });

const ours = (rows: RouterRow[]) => rows.filter(row => row.comment?.includes('rukun:'));
const parts = async (menu: typeof FILTER | typeof NAT) =>
  (await readMenu(menu)).map(row => row.comment?.replace(/rukun:isolir:\d-/, ''));

async function everything(): Promise<RouterRow[]> {
  const menus = ['/ip/pool', '/ppp/profile', LIST, FILTER, NAT] as const;
  return (await Promise.all(menus.map(readMenu))).flat();
}

describe('the set-up of a router', () => {
  test('is planned first: says each step, and writes nothing anywhere', async () => {
    const world = await NetworkTenant.make();
    const before = await everything();
    const { plan, entries } = await setUp(world, 'plan');
    expect(plan.map((step: { step: string }) => step.step)).toEqual(plan.map(() => 'add'));
    expect(plan.map((step: { kind: string; key: string }) => `${step.kind} ${step.key}`).sort()).toEqual([
      'address_list isolir-allow 198.51.100.0/24',
      'address_list isolir-allow 203.0.113.5',
      'filter_rule isolir:1-dns-udp',
      'filter_rule isolir:2-dns-tcp',
      'filter_rule isolir:3-page',
      'filter_rule isolir:4-drop',
      'ip_pool pool-isolir',
      'nat_rule isolir:5-redirect',
      'ppp_profile isolir',
    ]);
    expect(entries).toEqual([]);
    expect(await everything()).toEqual(before);
    expect(await world.query('SELECT id FROM provisioning')).toEqual([]);
  });

  test('P27 makes pool, profile, lists and rules; DNS and the page pass, in order and before what was there', async () => {
    const world = await NetworkTenant.make();
    await loadOnRouter('/ip firewall filter\nadd chain=forward action=accept comment=lama\n');
    const { entries } = await setUp(world, 'apply');
    expect(entries.map((entry: { status: string }) => entry.status)).toEqual(entries.map(() => 'in_sync'));
    expect(await findRow('/ip/pool', 'pool-isolir')).toMatchObject({
      ranges: '10.254.0.2-10.254.15.254',
      comment: 'rukun:pool:pool-isolir',
    });
    expect(await findProfile('isolir')).toMatchObject({
      'remote-address': 'pool-isolir',
      'local-address': '10.254.0.1',
      'address-list': 'isolir',
      comment: 'rukun:isolir',
    });
    expect(await parts(FILTER)).toEqual(['dns-udp', 'dns-tcp', 'page', 'drop', 'lama']);
    expect(await readMenu(NAT)).toMatchObject([
      { action: 'dst-nat', 'dst-port': '80', 'src-address-list': 'isolir', 'to-addresses': '203.0.113.5', 'to-ports': '8080' },
    ]); // prettier-ignore
    const drop = (await readMenu(FILTER)).find(row => row.comment === 'rukun:isolir:4-drop');
    expect(drop).toMatchObject({ chain: 'forward', action: 'drop', 'src-address-list': 'isolir' });
    // who is isolated gets an address of the pool, and stands on the list
    const plan = await world.addPlan();
    await world.tenant.put('/settings', { suspension_policy: 'isolir' });
    const line = await world.addLine(plan.id);
    await world.tenant.post(`/customers/${line.id}/suspend`, {});
    await world.waitFor(line.id);
    expect(await dialIn(line.pppoe_username)).toBe(true);
    expect(await findRow('/ppp/active', line.pppoe_username)).toMatchObject({
      address: expect.stringMatching(/^10\.254\./),
    });
  });

  test('made again it changes nothing, and is only read; with other variables it becomes them', async () => {
    const world = await NetworkTenant.make();
    await setUp(world, 'apply');
    const before = await everything();
    await withBridgeCalls(async calls => {
      await setUp(world, 'apply');
      expect(calls.flatMap(call => call.answer.entries.map(entry => entry.outcome))).toEqual([]);
    });
    expect(await everything()).toEqual(before);
    await setUp(world, 'apply', { pool_ranges: '10.99.0.0/24', local_address: '10.98.0.1' });
    expect(await findRow('/ip/pool', 'pool-isolir')).toMatchObject({ ranges: '10.99.0.0-10.99.0.255' });
    expect(await findProfile('isolir')).toMatchObject({ 'local-address': '10.98.0.1' });
    expect(await readMenu(NAT)).toEqual([]);
    expect(ours(await readMenu(LIST))).toEqual([]);
  });

  test('a rule that somebody took away, or changed, is drift, and is put back where it stood', async () => {
    const world = await NetworkTenant.make();
    await setUp(world, 'apply');
    await loadOnRouter(`/ip firewall filter
remove [find comment="rukun:isolir:2-dns-tcp"]
set [find comment="rukun:isolir:4-drop"] action=accept
/ip pool
set [find name=pool-isolir] ranges=10.1.1.1-10.1.1.9
`);
    const drift = await world.tenant.get(`/routers/${world.router_id}/drift`);
    expect(drift.counts).toMatchObject({ missing: 1, differs: 2 });
    const repaired = await world.tenant.post(`/routers/${world.router_id}/reconcile`, { mode: 'repair' });
    expect(repaired.counts).toMatchObject({ missing: 0, differs: 0, failed: 0 });
    expect(await parts(FILTER)).toEqual(['dns-udp', 'dns-tcp', 'page', 'drop']);
    expect((await readMenu(FILTER)).at(-1)).toMatchObject({ action: 'drop' });
  });

  test('a rule that was moved, or narrowed by hand, is put right: the first that fits wins', async () => {
    const world = await NetworkTenant.make();
    await setUp(world, 'apply');
    const [first] = await readMenu(FILTER);
    const drop = (await readMenu(FILTER)).at(-1)!;
    await loadOnRouter(`/ip firewall filter
set ${drop['.id']} protocol=tcp dst-port=443 dst-address=1.2.3.4
remove ${first!['.id']}
add chain=forward action=accept protocol=udp dst-port=53 src-address-list=isolir comment="rukun:isolir:1-dns-udp"
`);
    const { items } = await world.tenant.get(`/routers/${world.router_id}/drift`);
    const told = items.flatMap((item: { differences: { property: string }[] }) => item.differences);
    const properties = new Set(told.map((difference: { property: string }) => difference.property));
    expect(properties).toEqual(new Set(['protocol', 'dst-port', 'dst-address', 'place']));
    const repaired = await world.tenant.post(`/routers/${world.router_id}/reconcile`, { mode: 'repair' });
    expect(repaired.items).toEqual([]);
    expect(await parts(FILTER)).toEqual(['dns-udp', 'dns-tcp', 'page', 'drop']);
    const { protocol = '', 'dst-port': port = '', 'dst-address': address = '' } = (await readMenu(FILTER)).at(-1)!;
    expect([protocol, port, address]).toEqual(['', '', '']);
  });

  test('the profile of the suspended is repaired also while nobody is suspended', async () => {
    const world = await NetworkTenant.make();
    await setUp(world, 'apply');
    await loadOnRouter('/ppp profile\nset [find name=isolir] rate-limit=100M/100M address-list=""\n');
    const repaired = await world.tenant.post(`/routers/${world.router_id}/reconcile`, { mode: 'repair' });
    expect(repaired.profiles).toEqual([]);
    expect(await findProfile('isolir')).toMatchObject({ 'address-list': 'isolir' });
  });

  test('two spellings of one address are one entry; everybody is not let through; a plan tells what would go', async () => {
    const world = await NetworkTenant.make();
    const page_address = '10.9.0.1';
    await setUp(world, 'apply', { page_address, allowed_addresses: ['10.9.0.1/32', '10.9.9.5/24', '10.9.9.0/24'] });
    const addresses = async () => (await readMenu(LIST)).map(row => row.address).sort();
    expect(await addresses()).toEqual(['10.9.0.1', '10.9.9.0/24']);
    const { plan } = await setUp(world, 'plan', { page_address });
    const gone = plan.filter((step: { step: string }) => step.step === 'remove');
    expect(gone.map((step: { key: string }) => step.key)).toEqual(['isolir-allow 10.9.9.0/24']);
    await setUp(world, 'apply', { page_address });
    expect(await addresses()).toEqual(['10.9.0.1']);
    const body = { template: 'isolir', mode: 'apply', variables: { allowed_addresses: ['0.0.0.0/0'] } };
    const refused = await world.tenant.call('POST', `/routers/${world.router_id}/setup`, { body });
    expect([refused.status, Object.keys(refused.error.details!)]).toEqual([400, ['variables.allowed_addresses.0']]);
  });

  test('is not taken back under those who lean on it, unless by force', async () => {
    const world = await NetworkTenant.make();
    await world.tenant.put('/settings', { suspension_policy: 'isolir' });
    await setUp(world, 'apply');
    const line = await world.addLine((await world.addPlan()).id);
    await world.tenant.post(`/customers/${line.id}/suspend`, {});
    await world.waitFor(line.id);
    const path = `/routers/${world.router_id}/setup/rollback`;
    const refused = await world.tenant.call('POST', path, { body: { template: 'isolir' } });
    expect([refused.status, refused.error.code]).toEqual([409, 'CONFLICT']);
    expect(await parts(FILTER)).toHaveLength(4);
    await world.tenant.post(path, { template: 'isolir', force: true });
    expect(await parts(FILTER)).toEqual([]);
  });

  test('is taken back: nothing of it stays, and the profile lets go of the pool before it goes', async () => {
    const world = await NetworkTenant.make();
    await loadOnRouter('/ip firewall filter\nadd chain=forward action=accept comment=lama\n');
    await setUp(world, 'apply');
    expect((await takeBack(world)).entries).toEqual([]);
    expect(await findRow('/ip/pool', 'pool-isolir')).toBeUndefined();
    expect((await findProfile('isolir'))?.['remote-address'] ?? '').toBe('');
    expect([...(await readMenu(LIST)), ...(await readMenu(NAT))]).toEqual([]);
    expect(await parts(FILTER)).toEqual(['lama']);
    expect((await takeBack(world)).entries).toEqual([]);
  });

  test('a router that is away gets it when it is back', async () => {
    const world = await NetworkTenant.make();
    await takeRouterAway();
    const { entries } = await setUp(world, 'apply');
    expect(entries.every((entry: { status: string }) => entry.status === 'pending')).toBe(true);
    await clearFaults();
    await world.makeDue();
    await world.look();
    expect(await parts(FILTER)).toEqual(['dns-udp', 'dns-tcp', 'page', 'drop']);
  });

  test('an isolir profile or pool that is there already and not ours is a conflict, told, and left as it is', async () => {
    const world = await NetworkTenant.make();
    await loadOnRouter('/ppp profile\nadd name=isolir rate-limit=1M/1M comment="punya lama"\n');
    const before = await findProfile('isolir');
    const { entries } = await setUp(world, 'apply');
    const pool = entries.find((entry: { kind: string }) => entry.kind === 'ip_pool');
    expect(pool).toMatchObject({ status: 'conflict', error: expect.stringContaining('"isolir"') });
    expect(await findProfile('isolir')).toEqual(before);
  });

  test('P09 variables that can’t be are refused by name, and nothing is stored', async () => {
    const world = await NetworkTenant.make();
    const cases: [object, string][] = [
      [{ pool_ranges: 'x' }, 'variables.pool_ranges'],
      [{ local_address: '10.254.0.9' }, 'variables.local_address'],
      [{ page_address: 'isp.example' }, 'variables.page_address'],
      [{ page_port: 0 }, 'variables.page_port'],
      [{ allowed_addresses: ['10.0.0.0/33'] }, 'variables.allowed_addresses.0'],
    ];
    for (const [variables, field] of cases) {
      const body = { template: 'isolir', mode: 'apply', variables };
      const answer = await world.tenant.call('POST', `/routers/${world.router_id}/setup`, { body });
      expect([answer.status, Object.keys(answer.error.details!)]).toEqual([400, [field]]);
    }
    expect(await world.query('SELECT id FROM provisioning')).toEqual([]);
  });
});

describe('the settings', () => {
  test('P27 names and rate follow them: set-up, isolated lines and list entries', async () => {
    const world = await NetworkTenant.make();
    await setUp(world, 'apply');
    await world.tenant.put('/settings', { suspension_policy: 'isolir' });
    const plan = await world.addPlan();
    const line = await world.addLine(plan.id);
    const fixed = await world.tenant.addCustomer(plan.id, {
      connection_type: 'static',
      static_ip: '10.7.7.7',
      router_id: world.router_id,
    });
    await world.tenant.post(`/customers/${fixed.id}/activate`, {});
    for (const { id } of [line, fixed]) {
      await world.tenant.post(`/customers/${id}/suspend`, {});
      await world.waitFor(id);
    }
    expect(await readMenu(LIST)).toContainEqual(expect.objectContaining({ list: 'isolir', address: '10.7.7.7' }));
    await world.tenant.put('/settings', {
      isolir_profile: 'blokir',
      isolir_pool: 'pool-blokir',
      isolir_address_list: 'blokir',
      isolir_download_kbps: 128,
      isolir_upload_kbps: 96,
    });
    for (const { id } of [line, fixed]) await world.waitFor(id);
    await settle(world);
    expect(await findProfile('blokir')).toMatchObject({
      'remote-address': 'pool-blokir',
      'address-list': 'blokir',
      'rate-limit': expect.stringMatching(/^96k\/128k|^96000\/128000/),
    });
    expect(await findRow('/ppp/secret', line.pppoe_username)).toMatchObject({ profile: 'blokir' });
    expect(await findRow('/ip/pool', 'pool-isolir')).toBeUndefined();
    const entries = (await readMenu(LIST)).filter(row => row.dynamic !== 'true');
    expect(entries.map(row => `${row.list} ${row.address}`).sort()).toEqual([
      'blokir 10.7.7.7',
      'blokir-allow 198.51.100.0/24',
      'blokir-allow 203.0.113.5',
    ]);
    const rules = [...(await readMenu(FILTER)), ...(await readMenu(NAT))];
    expect(new Set(rules.map(row => row['src-address-list']))).toEqual(new Set(['blokir']));
  });

  test('the pool of the suspended is no other pool', async () => {
    const world = await NetworkTenant.make();
    const pool = { router_id: world.router_id, ranges: '10.20.0.0/24' };
    const refused = await world.tenant.call('POST', '/ip-pools', { body: { ...pool, name: 'pool-isolir' } });
    expect([refused.status, Object.keys(refused.error.details!)]).toEqual([400, ['name']]);
    await world.tenant.post('/ip-pools', { ...pool, name: 'rumah' });
    const taken = await world.tenant.call('PUT', '/settings', { body: { isolir_pool: 'rumah' } });
    expect([taken.status, Object.keys(taken.error.details!)]).toEqual([400, ['isolir_pool']]);
  });
});

describe('static lines', () => {
  test.each(['disable', 'isolir'] as const)(
    'P27 under %s suspending puts the address on the list, resuming takes it off',
    async suspension_policy => {
      const world = await NetworkTenant.make();
      await world.tenant.put('/settings', { suspension_policy });
      await loadOnRouter('/ip firewall address-list\nadd list=isolir address=10.8.8.8 comment=tangan\n');
      const plan = await world.addPlan();
      const { id, customer_code } = await world.tenant.addCustomer(plan.id, {
        connection_type: 'static',
        static_ip: '10.7.7.7',
        router_id: world.router_id,
      });
      await world.tenant.post(`/customers/${id}/activate`, {});
      expect((await world.read(id)).status).toBe('none');
      await world.tenant.post(`/customers/${id}/suspend`, {});
      await world.waitFor(id);
      const listed = { list: 'isolir', address: '10.7.7.7', comment: `rukun:${customer_code}` };
      expect(await readMenu(LIST)).toMatchObject([{ address: '10.8.8.8', comment: 'tangan' }, listed]);
      await world.tenant.post(`/customers/${id}/resume`, {});
      await world.waitFor(id);
      expect(await readMenu(LIST)).toMatchObject([{ address: '10.8.8.8', comment: 'tangan' }]);
    },
  );

  test('one address is one line’s on a router: a second is refused, also at once; once the first has ended it is free', async () => {
    const world = await NetworkTenant.make();
    const plan = await world.addPlan();
    const body = {
      full_name: 'Budi',
      phone: '0812-3456-7890',
      address: 'Jl. Melati 7',
      service_plan_id: plan.id,
      connection_type: 'static',
      static_ip: '10.7.7.7',
      router_id: world.router_id,
    };
    const answers = await Promise.all([1, 2, 3].map(() => world.tenant.call('POST', '/customers', { body })));
    expect(answers.map(answer => answer.status).sort()).toEqual([201, 409, 409]);
    const refused = answers.find(answer => answer.status === 409)!;
    expect([refused.error.code, Object.keys(refused.error.details!)]).toEqual(['DUPLICATE_ENTRY', ['static_ip']]);
    const other = await world.tenant.addCustomer(plan.id, { ...body, static_ip: '10.7.7.8' });
    const taken = await world.tenant.call('PUT', `/customers/${other.id}`, { body: { static_ip: '10.7.7.7' } });
    expect(taken.status).toBe(409);
    const { id } = answers.find(answer => answer.status === 201)!.data;
    await world.tenant.post(`/customers/${id}/terminate`, {});
    await world.tenant.put(`/customers/${other.id}`, { static_ip: '10.7.7.7' });
    expect((await world.tenant.call('POST', `/customers/${id}/reactivate`, { body: {} })).status).toBe(409);
    await world.tenant.put(`/customers/${other.id}`, { router_id: await world.addRouter() });
    await world.tenant.post(`/customers/${id}/reactivate`, {});
  });
});
