import { randomBytes } from 'node:crypto';
import { formatExport } from '../src/lib/routeros/export-file.ts';

/** What the demo is made of: an ISP of a kampung, its plans, and a router that somebody filled by hand over the years. */

export const DEMO_TENANT = {
  slug: 'demo',
  name: 'Melati Net',
  admin_name: 'Ayu Lestari',
  admin_email: 'ayu@melati.example',
};

export interface DemoPlan {
  profile_name: string;
  name: string;
  rate_limit: string;
  price: number;
  sort_order: number;
}

export const DEMO_PLANS: readonly DemoPlan[] = [
  { profile_name: 'paket-5m', name: 'Hemat 5 Mbps', rate_limit: '2M/5M', price: 100_000, sort_order: 1 },
  { profile_name: 'paket-10m', name: 'Rumah 10 Mbps', rate_limit: '5M/10M', price: 150_000, sort_order: 2 },
  {
    profile_name: 'paket-20m',
    name: 'Keluarga 20 Mbps',
    rate_limit: '5M/20M 8M/30M 4M/15M 8/8 8',
    price: 200_000,
    sort_order: 3,
  },
  { profile_name: 'paket-50m', name: 'Usaha 50 Mbps', rate_limit: '25M/50M', price: 350_000, sort_order: 4 },
];

const FIRST =
  `Agus Budi Citra Dewi Eko Fajar Gita Hadi Indah Joko Kartika Lukman Maya Nanda Oki Putri Rina Slamet Tuti Wahyu`.split(
    ' ',
  );
const LAST =
  `Santoso Wijaya Lestari Pratama Hidayat Saputra Rahayu Nugroho Kusuma Setiawan Wibowo Anggraini Susanto Halim`.split(
    ' ',
  );

const makePassword = () => randomBytes(6).toString('hex');

/** The router's export as it was before Rukun: profiles and secrets, made by hand, with names in the comments. */
export function makeRouterExport(customers: number): string {
  const profiles = DEMO_PLANS.map(plan => ({
    menu: '/ppp/profile',
    verb: 'add',
    props: new Map([
      ['name', plan.profile_name],
      ['local-address', '10.10.0.1'],
      ['remote-address', 'pool-pppoe'],
      ['rate-limit', plan.rate_limit],
    ]),
  }));
  const pool = {
    menu: '/ip/pool',
    verb: 'add',
    props: new Map([
      ['name', 'pool-pppoe'],
      ['ranges', '10.10.0.2-10.10.7.254'],
    ]),
  };
  const secrets = Array.from({ length: customers }, (_, index) => {
    const [first, last] = [FIRST[index % FIRST.length]!, LAST[(index * 5 + Math.floor(index / 20)) % LAST.length]!];
    const rt = String((index % 8) + 1).padStart(2, '0');
    const rw = String((index % 4) + 1).padStart(2, '0');
    return {
      menu: '/ppp/secret',
      verb: 'add',
      props: new Map([
        ['name', `${first}${index + 1}@melati`.toLowerCase()],
        ['password', makePassword()],
        ['profile', DEMO_PLANS[[0, 1, 1, 2, 1, 0, 2, 3][index % 8]!]!.profile_name],
        ['service', 'pppoe'],
        ['comment', `${first} ${last} RT ${rt} RW ${rw}`],
        ...(index % 25 === 24 ? ([['disabled', 'yes']] as const) : []),
      ]),
    };
  });
  return formatExport([pool, ...profiles, ...secrets], { version: '7.18' });
}

/** New subscribers, signed up at the counter. */
export function listNewCustomers(count: number) {
  return Array.from({ length: count }, (_, index) => ({
    full_name: `${FIRST[(index * 7 + 3) % FIRST.length]} ${LAST[(index * 3 + 1) % LAST.length]}`,
    phone: `0812-${String(3400 + index * 37).padStart(4, '0')}-${String(1000 + index * 271).slice(-4)}`,
    address: `Jl. Kenanga ${index + 2}, RT 0${(index % 8) + 1} RW 0${(index % 4) + 1}`,
    rt: `0${(index % 8) + 1}`,
    rw: `0${(index % 4) + 1}`,
    city: 'Bekasi',
    due_day: [5, 10, 15, 20, 25][index % 5]!,
    pppoe_username: `baru${index + 1}@melati`,
    pppoe_password: makePassword(),
  }));
}
