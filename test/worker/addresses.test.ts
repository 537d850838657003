import fc from 'fast-check';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { routes } from '../../src/app.ts';
import { canonicalIpv6 } from '../../src/lib/network.ts';
import { API_BASE } from '../../src/http/resource.ts';
import { nameOf, takesJson } from '../support/contract.ts';
import { dumpDatabase } from '../support/direct.ts';
import { TestTenant } from '../support/world.ts';

/** IP addresses, wherever one is taken: the right ones come back as they were sent, what is none is refused by name. */

interface Place {
  route: string;
  /** As a complaint names it. */
  field: string;
  takes: ('ipv4' | 'ipv6')[];
  path: string;
  body: (address: string) => Record<string, unknown>;
  /** Where the answer shows it; null: it shows no address. */
  shown: ((data: any) => unknown) | null;
  /** What is a host name, or a range, by its form. */
  also?: RegExp;
}

const ANY: Place['takes'] = ['ipv4', 'ipv6'];
const HOST_NAME = /^(?=.*[a-z])[\w.-]+$/;

/** One row of each that holds an address, and every request that gives it one. */
async function makePlaces(tenant: TestTenant): Promise<Place[]> {
  const plan = await tenant.addPlan();
  const customer = await tenant.addCustomer(plan.id);
  const device = await tenant.post('/devices', { device_name: 'OLT 1', device_type: 'olt' });
  const access = { name: 'Pusat', username: 'api', password: 'rahasia-router' };
  const router = await tenant.post('/routers', { ...access, host: '10.0.0.1' });
  const pool = await tenant.post('/ip-pools', { router_id: router.id, name: 'rumah', ranges: '10.9.0.0/24' });
  const person = { full_name: 'Budi', phone: '0812-3456-7890', address: 'Jl. Melati 7', service_plan_id: plan.id };
  let made = 0;
  const place = (
    route: string,
    field: string,
    path: string,
    body: Place['body'],
    more: Partial<Place> = {},
  ): Place => ({ route, field, path, body, takes: ANY, shown: data => data[field], ...more });
  const ipv4: Partial<Place> = { takes: ['ipv4'] };
  const named: Partial<Place> = { also: HOST_NAME };
  const setup = (variables: object) => ({ template: 'isolir', mode: 'plan', variables });
  const ofDevice = (field: string, more?: Partial<Place>) => [
    place('POST /devices', field, '/devices', ip => ({ device_name: `d${++made}`, device_type: 'onu', [field]: ip }), more), // prettier-ignore
    place('PUT /devices/:id', field, `/devices/${device.id}`, ip => ({ [field]: ip }), more),
  ];
  const ofSetup = (field: string, body: Place['body']) =>
    place('POST /routers/:id/setup', `variables.${field}`, `/routers/${router.id}/setup`, body, { ...ipv4, shown: null }); // prettier-ignore
  return [
    place('POST /customers', 'static_ip', '/customers', ip => ({ ...person, router_id: null, static_ip: ip })),
    place('PUT /customers/:id', 'static_ip', `/customers/${customer.id}`, ip => ({ static_ip: ip })),
    ...ofDevice('ip_address'),
    ...ofDevice('gateway'),
    ...ofDevice('subnet_mask', ipv4),
    place('PUT /service-plans/:id/advanced', 'dns_servers.1', `/service-plans/${plan.id}/advanced`,
      ip => ({ dns_servers: ['1.1.1.1', ip] }), { shown: data => data.dns_servers[1] }), // prettier-ignore
    place('POST /routers', 'host', '/routers', ip => ({ ...access, name: `r${++made}`, host: ip }), named),
    place('PUT /routers/:id', 'host', `/routers/${router.id}`, ip => ({ host: ip }), named),
    place('POST /ip-pools', 'ranges', '/ip-pools', ip => ({ router_id: router.id, name: `p${++made}`, ranges: ip }), { ...ipv4, also: /\/\d+$/ }), // prettier-ignore
    place('PUT /ip-pools/:id', 'ranges', `/ip-pools/${pool.id}`, ip => ({ ranges: ip }), { ...ipv4, also: /\/\d+$/ }),
    ofSetup('local_address', ip => setup({ local_address: ip })),
    ofSetup('page_address', ip => setup({ page_address: ip })),
    { ...ofSetup('allowed_addresses.0', ip => setup({ allowed_addresses: [ip] })), also: /\/\d+$/ },
  ];
}

/** Without the tail of dots that an IPv6 address may have (`::ffff:10.0.0.1`): no router writes it, and it isn't taken. */
const VALID = { ipv4: fc.ipV4(), ipv6: fc.ipV6().filter(address => !address.includes('.')) };

/** Of an IPv6 address all eight groups in full. */
function spell(address: string): string {
  if (!address.includes(':')) return address;
  const [head, tail] = address.split('::').map(half => half.split(':').filter(Boolean)) as [string[], string[]?];
  const zeros = Array<string>(tail ? 8 - head.length - tail.length : 0).fill('0');
  return [...head, ...zeros, ...(tail ?? [])].map(group => group.padStart(4, '0').toLowerCase()).join(':');
}

const parts = (separator: string, change: (list: string[], at: number, random: number) => void) =>
  fc.tuple(separator === '.' ? fc.ipV4() : fullIpv6, fc.nat({ max: 7 }), fc.nat({ max: 9999 })).map(([address, at, random]) => {
    const list = address.split(separator);
    change(list, at % list.length, random);
    return list.join(separator);
  }); // prettier-ignore

const fullIpv6 = fc
  .array(fc.nat({ max: 65535 }), { minLength: 8, maxLength: 8 })
  .map(groups => groups.map(group => group.toString(16)).join(':'));

/** Just beside an address: one thing of it is wrong. */
const JUST_INVALID: fc.Arbitrary<string> = fc.oneof(
  parts('.', (list, at, random) => (list[at] = String(256 + random))),
  parts('.', (list, at) => (list[at] = `0${list[at]}`)),
  parts('.', (list, at) => (list[at] = `-${list[at]}`)),
  parts('.', (list, at) => (list[at] = '')),
  parts('.', (list, at) => (list[at] = `1 ${list[at]}`)),
  parts('.', (list, at) => (list[at] = '١')),
  parts('.', (list, at) => (list[at] = '0x1f')),
  parts('.', (list, at) => void list.splice(at, 1)),
  parts('.', (list, at) => void list.splice(at, 0, '1')),
  parts(':', (list, at, random) => (list[at] = `1${(random % 10) + 1}fff`)),
  parts(':', (list, at) => (list[at] = 'g')),
  parts(':', (list, at) => void list.splice(at, 1)),
  parts(':', (list, at) => void list.splice(at, 0, '1')),
  parts(':', (list, at) => void list.splice(at === 7 ? 3 : at, 2, '', '', '1', '', '')),
  fc.ipV4().map(address => `::ffff:${address}9999`),
  fc.oneof(fc.ipV4(), fc.ipV6()).chain(
    address =>
    fc.constantFrom(`${address}/24`, `${address}.`, `${address}:`, `[${address}]`, `${address}%eth0`, `${address},`, `${address}\n1`, `http://${address}`), // prettier-ignore
  ),
  fc.constantFrom('', '.', '...', ':', ':::', '1:::2', '1', '10.0.0', '2130706433', 'fe80::1%1', '::ffff:1.2.3'),
);

test('P22 an IP address must be valid IPv4 or IPv6, wherever one is taken; what is none is not stored', async () => {
  const tenant = await TestTenant.signUp();
  const places = await makePlaces(tenant);
  const ask = (place: Place, address: string) =>
    tenant.call(place.route.split(' ')[0]!, place.path, { body: place.body(address) });
  const database = await tenant.database();
  const before = await dumpDatabase(database);
  const refused = new Set<Place>();
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...places), JUST_INVALID, async (place, address) => {
      if (place.also?.test(address)) return;
      const { status, error } = await ask(place, address);
      expect([status, ...Object.keys(error?.details ?? {})], `${place.route} ${place.field}`).toEqual([
        400,
        place.field,
      ]);
      refused.add(place);
    }),
    { numRuns: places.length + 120, examples: places.map(place => [place, '10.0.0.256']) },
  );
  expect(await dumpDatabase(database)).toEqual(before);
  expect(refused.size).toBe(places.length);

  const right = fc
    .constantFrom(...places.flatMap(place => place.takes.map(version => ({ place, version }))))
    .chain(({ place, version }) => fc.tuple(fc.constant(place), VALID[version]));
  await fc.assert(
    fc.asyncProperty(right, async ([place, address]) => {
      const { status, data, error } = await ask(place, address);
      const complaints = error?.details?.[place.field] ?? [];
      // nobody reaches this router, and the walled garden has rules of its own
      if (place.shown === null) expect(complaints.join() === '' || /pool|everybody/.test(complaints.join())).toBe(true);
      else expect([complaints, status, spell(place.shown(data) as string)]).toEqual([[], place.route.startsWith('POST') ? 201 : 200, spell(address)]); // prettier-ignore
    }),
    { numRuns: 100, endOnFailure: true },
  );
  // the other kind is no address where only one will do
  for (const place of places.filter(({ takes }) => takes.length === 1))
    expect((await ask(place, '2001:db8::1')).error?.details, place.route).toHaveProperty([place.field]);
});

test('an IPv6 address is one text, however it is written: two lines of a router can’t have it', async () => {
  fc.assert(
    fc.property(VALID.ipv6, address => {
      const [one, ...others] = [address, spell(address), spell(address).toUpperCase()].map(canonicalIpv6);
      expect(others).toEqual([one, one]);
      expect(spell(one!)).toBe(spell(address));
    }),
    { numRuns: 200 },
  );
  const tenant = await TestTenant.signUp();
  const plan = await tenant.addPlan();
  await tenant.post('/routers', { name: 'r', host: 'r.example', username: 'x', password: 'y' });
  const { static_ip } = await tenant.addCustomer(plan.id, { static_ip: '2001:DB8:0:0::1' });
  expect(static_ip).toBe('2001:db8::1');
  const person = { full_name: 'B', phone: '081234567', address: 'x', service_plan_id: plan.id };
  const again = await tenant.call('POST', '/customers', { body: { ...person, static_ip: '2001:db8:0::0:1' } });
  expect([again.status, again.error.details]).toEqual([409, { static_ip: ['is taken'] }]);
});

interface JsonSchema {
  $ref?: string;
  $defs?: Record<string, JsonSchema>;
  format?: string;
  properties?: Record<string, JsonSchema>;
  items?: JsonSchema;
  anyOf?: JsonSchema[];
}

/** Paths of what is an address by its format, wherever it stands in a body. */
function addressesIn(schema: JsonSchema, defs: Record<string, JsonSchema>, path: string[] = []): string[] {
  const { $ref, format, properties, items, anyOf } = schema;
  if ($ref) return addressesIn(defs[$ref.split('/').at(-1)!]!, defs, path);
  if (/^ipv[46]$/.test(format ?? '')) return [path.join('.')];
  return [
    ...Object.entries(properties ?? {}).flatMap(([name, each]) => addressesIn(each, defs, [...path, name])),
    ...(items ? addressesIn(items, defs, [...path, '#']) : []),
    ...(anyOf ?? []).flatMap(each => addressesIn(each, defs, path)),
  ];
}

test('P22 no field that takes an address is left out of it', async () => {
  const places = await makePlaces(await TestTenant.signUp());
  const known = new Set(places.map(({ route, field }) => `${route} ${field.replace(/\d+/g, '#')}`));
  const found = routes.filter(takesJson).flatMap(route => {
    if (route.method === 'patch') return [];
    const schema: JsonSchema = z.toJSONSchema(route.endpoint.definition.body!, {
      io: 'input',
      unrepresentable: 'any',
    }) as JsonSchema;
    const name = nameOf(route).replace(API_BASE, '');
    return [...new Set(addressesIn(schema, schema.$defs ?? {}))].map(field => `${name} ${field}`);
  });
  expect(found.filter(each => !known.has(each))).toEqual([]);
  expect(found.length).toBeGreaterThan(10);
});
