import { env, SELF } from 'cloudflare:test';
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { takeBack } from '../../durable-objects/rate-limiter/sliding-log.ts';
import { isPhoneOf } from '../../src/resources/isolir/rules.ts';
import { WORDS } from '../../src/resources/isolir/words.ts';
import { toIso } from '../../src/lib/time.ts';
import { forgetTenants } from '../../src/tenancy/directory.ts';
import { dumpDatabase } from '../support/direct.ts';
import { newAddress, TestTenant } from '../support/world.ts';

/** The page of the suspended, as a browser asks for it. */

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const PHONE = '0812-3456-7890';
const INSTRUCTIONS = 'BCA 123 456 7890\na.n. Ayu <Lestari>';

interface Asked {
  lang?: string;
  host?: string;
  headers?: Record<string, string>;
  address?: string;
  /** Sent as it is, instead of a form's two fields. */
  raw?: { type?: string; body: string };
}

interface Shown {
  status: number;
  headers: Headers;
  text: string;
}

/** Any answer must be a page that keeps to itself, whatever the test is about. */
async function ask(
  name: string,
  form: { customer_code: string; phone: string } | null,
  asked: Asked = {},
): Promise<Shown> {
  const { lang, host = 'rukun.test', raw, address = newAddress() } = asked;
  const url = `http://${host}/api/v1/isolir/${name}${lang ? `?lang=${lang}` : ''}`;
  const is_post = form || raw;
  const response = await SELF.fetch(url, {
    method: is_post ? 'POST' : 'GET',
    headers: { 'cf-connecting-ip': address, ...(raw?.type && { 'content-type': raw.type }), ...asked.headers },
    ...(is_post && { body: raw ? new TextEncoder().encode(raw.body) : new URLSearchParams({ ...form }) }),
  });
  const shown = { status: response.status, headers: response.headers, text: await response.text() };
  await checkPage(shown);
  return shown;
}

async function checkPage({ headers, text }: Shown): Promise<void> {
  expect(headers.get('content-type')).toBe('text/html; charset=UTF-8');
  expect(headers.get('cache-control')).toBe('no-store');
  expect(headers.get('referrer-policy')).toBe('no-referrer');
  expect(headers.get('x-content-type-options')).toBe('nosniff');
  expect(headers.has('set-cookie')).toBe(false);
  expect(text.startsWith('<!doctype html>')).toBe(true);
  expect(text).toMatch(/<html lang="(id|en)">/);
  expect(text).toContain('<meta name="viewport" content="width=device-width, initial-scale=1" />');
  const [, style] = /<style>([^]*?)<\/style>/.exec(text)!;
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(style));
  const hash = btoa(String.fromCharCode(...new Uint8Array(digest)));
  expect(headers.get('content-security-policy')).toBe(
    `default-src 'none'; style-src 'sha256-${hash}' 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`,
  );
  // nothing is fetched, nothing runs, and the only other host is one to go to (text may say what it likes)
  const marks = text.match(/<[^>]*>/g)!.join('');
  expect(marks).not.toMatch(/<(script|img|link|iframe|object|svg|base)|\ssrc\s*=|javascript:|\son\w+\s*=/i);
  expect(style).not.toMatch(/url\(|@import|@font-face/i);
  expect((marks.match(/\/\/[^/"]*/g) ?? []).filter(host => host !== '//wa.me')).toEqual([]);
}

/** What is to be read, without the marks. */
const readText = (text: string): string =>
  text
    .replace(/[^]*<body>/, '')
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ')
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .trim();

interface Isp {
  tenant: TestTenant;
  d1: D1Database;
  plan_id: string;
}

async function makeIsp(options: Parameters<typeof TestTenant.signUp>[0] = {}): Promise<Isp> {
  const tenant = await TestTenant.signUp(options);
  await tenant.put('/settings', {
    business_name: 'Melati Net',
    phone: '0812-3400-1000',
    email: 'tagihan@melati.example',
    payment_instructions: INSTRUCTIONS,
  });
  return { tenant, d1: await tenant.database(), plan_id: (await tenant.addPlan()).id };
}

const run = ({ d1 }: Isp, sql: string, ...params: unknown[]) =>
  d1
    .prepare(sql)
    .bind(...params)
    .run();

async function addSubscriber(isp: Isp, fields: Record<string, unknown> = {}, columns: Record<string, unknown> = {}) {
  const customer = await isp.tenant.addCustomer(isp.plan_id, { phone: PHONE, email: 'budi@rumah.example', ...fields });
  const set = { status: 'suspended', suspension_reason: 'overdue', ...columns };
  const names = Object.keys(set).map(name => `${name} = ?`);
  await run(isp, `UPDATE customers SET ${names.join(', ')} WHERE id = ?`, ...Object.values(set), customer.id);
  return customer as { id: string; customer_code: string };
}

interface DueFields {
  amount?: number;
  status?: string;
  due_date?: string;
  payment_for?: string;
  month?: number | null;
}

async function addDue(isp: Isp, customer_id: string, fields: DueFields = {}): Promise<void> {
  const {
    amount = 150_000,
    status = 'overdue',
    due_date = '2026-10-15',
    payment_for = 'monthly_subscription',
  } = fields;
  const { month = 10 } = fields;
  await run(
    isp,
    `INSERT INTO payments (id, customer_id, amount, status, due_date, payment_date, payment_for, period_month, period_year,
      reference_number, notes, owed_since, created_at, updated_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'RAHASIA-REF', 'RAHASIA-CATATAN', '2026-10-08', 1, 1)`,
    crypto.randomUUID(),
    customer_id,
    amount,
    status,
    due_date,
    status === 'paid' ? due_date : null,
    payment_for,
    month,
    month && 2026,
  );
}

/** Today is the 20th of November 2026 in Jakarta. */
function holdClock(at = '2026-11-20T03:00:00Z'): void {
  vi.useFakeTimers({ toFake: ['Date'] });
  vi.setSystemTime(Date.parse(at));
}

const formOf = (customer: { customer_code: string }, phone = PHONE) => ({
  customer_code: customer.customer_code,
  phone,
});

describe('the page', () => {
  test('says that the line is limited, how to pay and whom to ask, and asks for code and phone', async () => {
    const isp = await makeIsp();
    const page = await ask(isp.tenant.slug, null);
    expect(page.status).toBe(200);
    const text = readText(page.text);
    for (const part of ['Melati Net', WORDS.id.limited, INSTRUCTIONS.replace('\n', ' '), '0812-3400-1000', 'English'])
      expect(text).toContain(part);
    expect(page.text).toContain('<html lang="id">');
    expect(page.text).toContain('href="tel:+6281234001000"');
    expect(page.text).toContain('href="https://wa.me/6281234001000"');
    expect(page.text).toContain('href="mailto:tagihan@melati.example"');
    expect(page.text).toMatch(/<form class="card" method="post" action="\?lang=id">/);
    expect(page.text.match(/name="(customer_code|phone)"/g)).toHaveLength(2);
  });

  test('is found by slug in any case and by id, under its own host too', async () => {
    const { tenant } = await makeIsp();
    for (const name of [tenant.slug, tenant.slug.toUpperCase(), tenant.id])
      expect((await ask(name, null)).status).toBe(200);
    const host = `${tenant.slug}.rukun.test`;
    expect((await ask(tenant.slug, null, { host, headers: { 'x-tenant-id': tenant.id } })).status).toBe(200);
  });

  test('speaks the provider’s language unless another is asked for', async () => {
    const isp = await makeIsp();
    const { slug } = isp.tenant;
    const customer = await addSubscriber(isp);
    await addDue(isp, customer.id);
    const english = await ask(slug, null, { lang: 'en' });
    expect(english.text).toContain('<html lang="en">');
    expect(english.text).toContain('href="?lang=id"');
    const bill = readText((await ask(slug, formOf(customer), { lang: 'en' })).text);
    expect(bill).toContain('Bill of Budi Subscription October 2026 Due 15 October 2026 Overdue IDR 150,000');
    await env.DIRECTORY_DB.prepare("UPDATE tenants SET locale = 'en'").run();
    forgetTenants();
    expect((await ask(slug, null)).text).toContain('<html lang="en">');
    expect((await ask(slug, null, { lang: 'id' })).text).toContain('<html lang="id">');
  });

  test('of a provider that told nothing sends to the provider, without empty links', async () => {
    const { slug } = await TestTenant.signUp();
    const page = await ask(slug, null);
    expect(readText(page.text)).toContain(WORDS.id.ask_how_to_pay);
    expect(page.text).not.toMatch(/tel:|wa\.me|mailto:/);
  });
});

describe('what is owed', () => {
  test('is shown due by due, with the total and the credit, and nothing else of the customer', async () => {
    const isp = await makeIsp();
    const customer = await addSubscriber(isp, {}, { credit_balance: 5000 });
    await addDue(isp, customer.id, { due_date: '2026-11-25', month: 11, status: 'pending', amount: 150_000 });
    await addDue(isp, customer.id);
    await addDue(isp, customer.id, { due_date: '2026-11-26', month: null, status: 'pending', payment_for: 'installation', amount: 1_250_000 }); // prettier-ignore
    await addDue(isp, customer.id, { status: 'paid', amount: 777 });
    await addDue(isp, customer.id, { status: 'void', amount: 888 });
    const other = await addSubscriber(isp, { pppoe_username: 'lain' });
    await addDue(isp, other.id, { amount: 999 });
    holdClock();
    const page = await ask(isp.tenant.slug, formOf(customer));
    expect(page.status).toBe(200);
    expect(readText(page.text).replaceAll('\u00a0', ' ')).toBe(
      'Melati Net Tagihan Budi ' +
        'Langganan Oktober 2026 Jatuh tempo 15 Oktober 2026 Lewat jatuh tempo Rp 150.000 ' +
        'Langganan November 2026 Jatuh tempo 25 November 2026 Rp 150.000 ' +
        'Pemasangan Jatuh tempo 26 November 2026 Rp 1.250.000 ' +
        `Total tagihan Rp 1.550.000 Saldo Anda Rp 5.000 ${WORDS.id.after_payment} ` +
        `Cara membayar ${INSTRUCTIONS.replace('\n', ' ')} ` +
        'Hubungi kami Telepon 0812-3400-1000 WhatsApp tagihan@melati.example Kembali ke awal English',
    );
    const told = ['Santoso', 'Jl. Melati', '3456', 'budi@rumah', customer.id, customer.customer_code, isp.tenant.id, 'RAHASIA']; // prettier-ignore
    for (const secret of told) expect(page.text + JSON.stringify([...page.headers])).not.toContain(secret);
  });

  test('is found however code and phone are written', async () => {
    const isp = await makeIsp();
    const customer = await addSubscriber(isp);
    await addDue(isp, customer.id);
    const code = customer.customer_code;
    for (const typed of [code, code.toLowerCase(), `  ${code} `])
      for (const phone of ['081234567890', '+62 812-3456-7890', '62 812 3456 7890', '0062812.3456.7890', ' 812 34567890 '])
        expect((await ask(isp.tenant.slug, { customer_code: typed, phone })).text, `${typed} ${phone}`).toContain('Tagihan Budi'); // prettier-ignore
  });

  test('a phone whose country nobody knows is compared digit by digit', async () => {
    const customer = { full_name: 'Budi', phone: '0812-34 56', phone_e164: null };
    expect(isPhoneOf(customer, '08123456', 'XX')).toBe(true);
    expect(isPhoneOf(customer, '8123456', 'XX')).toBe(false);
    expect(isPhoneOf({ ...customer, phone: null }, '08123456', 'XX')).toBe(false);
    expect(isPhoneOf({ ...customer, phone: 'tidak ada' }, '+', 'XX')).toBe(false);
    expect(isPhoneOf({ ...customer, phone_e164: '+628123456' }, '08123456', 'ID')).toBe(true);
    // where both can be told, digits that look alike are another number
    expect(isPhoneOf({ ...customer, phone_e164: '+608123456' }, '08123456', 'ID')).toBe(false);
  });

  test('is overdue from the day after, in the provider’s own calendar, also before the daily job has run', async () => {
    const isp = await makeIsp({ timezone: 'Asia/Jayapura' });
    const customer = await addSubscriber(isp);
    await addDue(isp, customer.id, { status: 'pending', due_date: '2026-11-20' });
    // 23:30 of the 20th in Jayapura, then half past midnight
    for (const [at, is_late] of [['2026-11-20T14:30:00Z', false], ['2026-11-20T15:30:00Z', true]] as const) {
      holdClock(at);
      const { text } = await ask(isp.tenant.slug, formOf(customer));
      expect(text).toContain('20 November 2026');
      expect(text.includes(WORDS.id.overdue), at).toBe(is_late);
    } // prettier-ignore
  });

  test('is nothing once it is paid: the line recovers, unless it is limited for another reason', async () => {
    const isp = await makeIsp();
    const ask_of = async (columns: Record<string, unknown>) => {
      const customer = await addSubscriber(isp, { pppoe_username: crypto.randomUUID().slice(0, 8) }, columns);
      await addDue(isp, customer.id, { status: 'paid' });
      return readText((await ask(isp.tenant.slug, formOf(customer))).text);
    };
    const recovers = `${WORDS.id.nothing_owed} ${WORDS.id.recovers}`;
    expect(recovers).toBe('Tidak ada tagihan. Sambungan pulih dalam beberapa menit.');
    expect(await ask_of({})).toContain(recovers);
    expect(await ask_of({ status: 'active', suspension_reason: null })).toContain(recovers);
    const otherwise = `${WORDS.id.nothing_owed} ${WORDS.id.limited_otherwise}`;
    expect(await ask_of({ suspension_reason: 'abuse' })).toContain(otherwise);
  });
});

describe('a stranger', () => {
  test('is told the same, to the byte, whyever nobody is found', async () => {
    const isp = await makeIsp();
    const right = await addSubscriber(isp);
    await addDue(isp, right.id);
    const gone = async (username: string, columns: Record<string, unknown>) => {
      const customer = await addSubscriber(isp, { pppoe_username: username }, columns);
      await addDue(isp, customer.id);
      return customer;
    };
    const terminated = await gone('satu', { status: 'terminated', suspension_reason: null });
    const deleted = await gone('dua', { deleted_at: Date.now() });
    const phoneless = await gone('tiga', { phone: null, phone_e164: null });
    const wrong = [
      formOf(right, '0812-3456-7891'),
      formOf(right, '+60812-3456-7890'),
      { customer_code: 'CUST99999', phone: PHONE },
      { customer_code: `${right.customer_code}'--`, phone: PHONE },
      { customer_code: '%', phone: PHONE },
      { customer_code: right.id, phone: PHONE },
      formOf(terminated),
      formOf(deleted),
      formOf(phoneless),
      { customer_code: phoneless.customer_code, phone: '00000' },
    ];
    const answers = [];
    for (const form of wrong) {
      const { status, headers, text } = await ask(isp.tenant.slug, form);
      answers.push({
        status,
        headers: [...headers].filter(([name]) => !['x-request-id', 'ratelimit', 'ratelimit-policy'].includes(name)),
        text,
      });
      expect(text).not.toContain('Budi');
      expect(text).not.toContain('150.000');
    }
    expect(answers[0]!.status).toBe(200);
    expect(answers[0]!.text).toContain(WORDS.id.unknown_customer_why);
    for (const [index, answer] of answers.entries()) expect(answer, JSON.stringify(wrong[index])).toEqual(answers[0]);
    expect((await ask(isp.tenant.slug, formOf(right))).text).toContain('Tagihan Budi');
  });

  test('of another provider finds nobody: each page knows its own customers', async () => {
    const [one, other] = [await makeIsp(), await makeIsp()];
    await other.tenant.put('/settings', { business_name: 'Kenanga Net', payment_instructions: 'MANDIRI 99' });
    const mine = await addSubscriber(one);
    await addDue(one, mine.id, { amount: 111_000 });
    const theirs = await addSubscriber(other, { full_name: 'Citra', phone: '0813-1111-2222' });
    await addDue(other, theirs.id, { amount: 222_000 });
    expect(mine.customer_code).toBe(theirs.customer_code);
    const page = await ask(other.tenant.slug, formOf(mine));
    expect(page.text).toContain(WORDS.id.unknown_customer);
    expect(page.text).not.toMatch(/Melati|Budi|Citra|111\.000|222\.000/);
    const right = await ask(other.tenant.slug, formOf(theirs, '0813-1111-2222'));
    expect(right.text).toMatch(/Kenanga[^]*Citra[^]*222\.000/);
    expect(right.text).not.toMatch(/Melati|Budi|111\.000/);
  });
});

describe('tries', () => {
  const wrong = (code = 'CUST00001', at = 0) => ({ customer_code: code, phone: `0899-1111-${1000 + at}` });

  test('of a code are five wrong ones in ten minutes, however it is written; then even a right one waits', async () => {
    const isp = await makeIsp();
    const customer = await addSubscriber(isp);
    const neighbour = await addSubscriber(isp, { pppoe_username: 'lain', phone: '0813-9999-8888' });
    const other = await makeIsp();
    const { slug } = isp.tenant;
    // ahead of the real clock, by which a limiter forgets
    const start = Date.parse('2036-11-20T03:00:00Z');
    holdClock(toIso(start));
    const codes = ['CUST00001', 'cust00001', ' Cust00001', 'CUST00001 ', 'cUST00001'];
    for (const [at, code] of codes.entries()) {
      vi.setSystemTime(start + at * 60_000);
      expect((await ask(slug, wrong(code, at))).status).toBe(200);
    }
    for (const form of [wrong('cuST00001', 7), formOf(customer)]) {
      const refused = await ask(slug, form);
      expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '360']);
      expect(readText(refused.text)).toContain('Terlalu banyak percobaan Tunggu 6 menit, lalu coba lagi.');
      expect(refused.text).not.toMatch(/Budi|CUST00001 |0899/);
    }
    // other codes and other providers have tries of their own
    expect((await ask(slug, formOf(neighbour, '0813-9999-8888'))).text).toContain(WORDS.id.nothing_owed);
    expect((await ask(other.tenant.slug, wrong())).status).toBe(200);
    expect((await ask(slug, null)).status).toBe(200);
    vi.setSystemTime(start + 10 * 60_000);
    expect((await ask(slug, formOf(customer))).text).toContain(WORDS.id.nothing_owed);
  });

  test('that are right are not counted, and of twenty wrong ones at once five are looked at', async () => {
    const isp = await makeIsp();
    const customer = await addSubscriber(isp);
    for (let i = 0; i < 12; i++) expect((await ask(isp.tenant.slug, formOf(customer))).status).toBe(200);
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, at) => ask(isp.tenant.slug, wrong(customer.customer_code, at))),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(5);
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(15);
  });

  test('of a phone are ten wrong codes in ten minutes, however it is written', async () => {
    const { tenant } = await makeIsp();
    const phones = ['081299990000', '+6281299990000', '6281299990000', '0812-9999-0000', '0062 812 9999 0000'];
    const statuses = [];
    for (let at = 0; at < 12; at++)
      statuses.push((await ask(tenant.slug, { customer_code: `CUST${at}`, phone: phones[at % 5]! })).status);
    expect(statuses).toEqual([...Array(10).fill(200), 429, 429]);
  });

  test('of an address are sixty a minute, the page itself as often as it likes', async () => {
    const { tenant } = await makeIsp();
    const address = newAddress();
    const answers = await Promise.all(
      Array.from({ length: 63 }, (_, at) => ask(tenant.slug, wrong('CUST1', at % 6), { address })),
    );
    // the others were refused for their code, for ten minutes, or were looked at
    const refused = answers.filter(({ status, headers }) => status === 429 && Number(headers.get('retry-after')) <= 60);
    expect(refused).toHaveLength(3);
    for (const { status, headers, text } of refused) {
      expect(status).toBe(429);
      expect(Number(headers.get('retry-after'))).toBeLessThanOrEqual(60);
      expect(text).toContain('Tunggu 1 menit');
    }
    expect((await ask(tenant.slug, wrong('CUST2', 9), { address })).status).toBe(429);
    expect((await ask(tenant.slug, null, { address })).status).toBe(200);
    expect((await ask(tenant.slug, wrong('CUST999', 999))).status).toBe(200);
  });

  test('what is taken back from a log is one of that time', () => {
    const log = [1, 2, 2, 3];
    expect([takeBack(log, 2), log]).toEqual([true, [1, 2, 3]]);
    expect([takeBack(log, 9), log]).toEqual([false, [1, 2, 3]]);
  });
});

describe('a refusal is a page too', () => {
  const FORM = { customer_code: 'CUST00001', phone: PHONE };

  test('of a provider that isn’t there, or that host or header don’t agree with: a 404 that tells nothing', async () => {
    const [one, other] = [await makeIsp(), await makeIsp()];
    const { slug } = one.tenant;
    const strays: [string, Asked][] = [
      ['tidak-ada', {}],
      ['%FF', {}],
      ["'%20OR%201=1--", {}],
      ['x'.repeat(3000), {}],
      [slug, { host: `${other.tenant.slug}.rukun.test` }],
      [slug, { host: 'tidak-ada.rukun.test' }],
      [slug, { headers: { 'x-tenant-id': other.tenant.id } }],
    ];
    const pages = [];
    for (const [name, asked] of strays)
      for (const form of [null, FORM]) {
        const page = await ask(name, form, asked);
        expect(page.status, name).toBe(404);
        pages.push(page.text);
      }
    expect(new Set(pages).size).toBe(1);
    expect(pages[0]).toContain(WORDS.id.no_page);
    expect(pages[0]).not.toMatch(/<form|Melati/);
    expect((await ask('tidak-ada', null, { lang: 'en' })).text).toContain(WORDS.en.no_page);
    await env.DIRECTORY_DB.prepare("UPDATE tenants SET status = 'deleted'").run();
    forgetTenants();
    expect((await ask(slug, null)).text).toBe(pages[0]);
  });

  test('of a provider whose account is suspended: a neutral 403', async () => {
    const { tenant } = await makeIsp();
    await env.DIRECTORY_DB.prepare("UPDATE tenants SET status = 'suspended'").run();
    forgetTenants();
    for (const form of [null, FORM]) {
      const page = await ask(tenant.slug, form);
      expect([page.status, readText(page.text)]).toEqual([
        403,
        `${WORDS.id.not_open} ${WORDS.id.not_open_why} English`,
      ]);
    }
  });

  test('of what isn’t filled in or doesn’t fit: the form again', async () => {
    const isp = await makeIsp();
    const { slug } = isp.tenant;
    const type = 'application/x-www-form-urlencoded';
    const bad: [number, Asked['raw']][] = [
      [400, { type, body: '' }],
      [400, { type, body: 'customer_code=CUST00001' }],
      [400, { type, body: 'customer_code=&phone=' }],
      [400, { type, body: 'customer_code=CUST00001&phone=<b>' }],
      [400, { type, body: `customer_code=${'x'.repeat(41)}&phone=081234567890` }],
      [400, { type, body: 'customer_code=%00&phone=081234567890' }],
      [400, { type, body: 'customer_code=a&phone=081234567890&customer_id=1' }],
      [400, { type, body: 'customer_code=a&phone=081234567890&__proto__=1' }],
      [415, { type: 'application/json', body: '{"customer_code":"CUST00001","phone":"081234567890"}' }],
      [415, { body: 'customer_code=a&phone=081234567890' }],
      [413, { type, body: `customer_code=${'x'.repeat(17_000)}` }],
    ];
    const before = await dumpDatabase(isp.d1);
    for (const [status, raw] of bad) {
      const page = await ask(slug, null, { raw });
      expect(page.status, raw!.body.slice(0, 60)).toBe(status);
      expect(page.text).toContain('name="customer_code"');
      expect(readText(page.text)).toContain(WORDS.id.bad_input_why);
      expect(page.text).not.toMatch(/<b>|xxxx/);
    }
    expect((await ask(slug, null, { lang: 'fr' })).status).toBe(400);
    expect((await ask(slug, null, { lang: 'id&x=1' })).status).toBe(400);
    expect(await dumpDatabase(isp.d1)).toEqual(before);
  });

  test('of our own fault: a 500 with the number that the log has, and nothing else of it', async () => {
    const isp = await makeIsp();
    const logged = vi.spyOn(console, 'error').mockImplementation(() => undefined);
    await run(isp, 'ALTER TABLE settings RENAME TO gone');
    for (const form of [null, FORM]) {
      const page = await ask(isp.tenant.slug, form, { headers: { 'x-request-id': 'nomor-12345' } });
      expect(page.status).toBe(500);
      expect(readText(page.text)).toContain(`${WORDS.id.failed_why} nomor-12345`);
      expect(readText(page.text)).not.toMatch(/SQLITE|D1|settings|no such table/i);
    }
    expect(logged).toHaveBeenCalledTimes(2);
  });

  test('elsewhere stays JSON', async () => {
    for (const path of ['/api/v1/isolir', '/api/v1/isolir/a/b', '/api/v1/settings']) {
      const response = await SELF.fetch(`http://rukun.test${path}`);
      expect(response.headers.get('content-type')).toBe('application/json');
    }
    const { paths } = await (await SELF.fetch('http://rukun.test/openapi.json')).json<any>();
    const { get, post } = paths['/api/v1/isolir/{tenant}'];
    const typesOf = (each: any) => Object.values<any>(each.responses).map(answer => Object.keys(answer.content));
    expect([...typesOf(get), ...typesOf(post)].flat()).toEqual(Array(14).fill('text/html'));
    expect(Object.keys(get.responses)).toEqual(['200', '400', '403', '404', '429', '500']);
    expect(Object.keys(post.responses)).toEqual(['200', '400', '403', '404', '413', '415', '429', '500']);
    expect(Object.keys(post.requestBody.content)).toEqual(['application/x-www-form-urlencoded']);
  });
});

/** Elements with the names of their attributes, in order, and where they lead. */
async function readMarks(text: string): Promise<{ marks: string[]; links: string[] }> {
  const [marks, links]: [string[], string[]] = [[], []];
  const rewriter = new HTMLRewriter().on('*', {
    element({ tagName, attributes }) {
      const all = [...attributes] as [string, string][];
      marks.push([tagName, ...all.map(([name]) => name)].join(' '));
      for (const [name, value] of all) if (['href', 'action'].includes(name)) links.push(value);
    },
  });
  await rewriter.transform(new Response(text, { headers: { 'content-type': 'text/html' } })).text();
  return { marks, links };
}

describe('what people wrote', () => {
  const bits = fc.constantFrom('</style>', '<script>alert(1)</script>', '"><img src=x onerror=alert(1)>', "' onfocus='x", '&lt;b&gt;', '&#60;', '<!--', '-->', ']]>', '</title>', '</pre>', '</bdi>', '</h1>', '<br>', 'javascript:alert(1)', '{{7*7}}', '${7}', '\u202e', '\u200f', 'שלום', '🙂', '\u0000', '\ufeff', '\\', '`', '\n', '?bcc=x', '@', '<svg/onload=x>', '<'); // prettier-ignore
  const hostile = fc
    .array(fc.oneof(bits, fc.string({ unit: 'grapheme', maxLength: 8 })), { minLength: 1, maxLength: 6 })
    // a blank would do away with a first name
    .map(parts => `x${parts.join('')}`);
  // a phone number would be a link, however it is written
  const no_number = hostile.map(text => text.replace(/\d/g, ''));

  test('stays text: no element, no attribute and no link comes of it', async () => {
    const isp = await makeIsp();
    const { slug } = isp.tenant;
    const customer = await addSubscriber(isp);
    await addDue(isp, customer.id);
    // limiters are few: an address bears sixty tries, a phone ten, a code five
    let round = 0;
    const pagesOf = () => {
      round += 1;
      const address = `10.1.1.${Math.floor(round / 20)}`;
      const nobody = {
        customer_code: `TIDAK${Math.floor(round / 5)}`,
        phone: `0813${10_000_000 + Math.floor(round / 5)}`,
      };
      return Promise.all([
        ask(slug, null, { address }),
        ask(slug, formOf(customer), { address }),
        ask(slug, nobody, { address }),
        ask(slug, null, { address, lang: 'fr' }),
      ]);
    };
    const write = async ([name, text, phone, email, full_name]: string[]) => {
      await run(isp, 'UPDATE settings SET business_name = ?, payment_instructions = ?, phone = ?, email = ?', name, text, phone, email); // prettier-ignore
      await run(isp, 'UPDATE customers SET full_name = ?', full_name);
      await env.DIRECTORY_DB.prepare('UPDATE tenants SET name = ?').bind(name).run();
      forgetTenants();
    };
    await write(['nama', 'cara', 'telepon', 'surat', 'Budi']);
    await env.DIRECTORY_DB.prepare('UPDATE tenants SET name = ?').bind('nama').run();
    const plain = await Promise.all((await pagesOf()).map(page => readMarks(page.text)));
    expect(plain.map(({ marks }) => marks.length).every(length => length > 15)).toBe(true);
    await fc.assert(
      fc.asyncProperty(fc.tuple(hostile, hostile, no_number, hostile, hostile), async texts => {
        await write(texts);
        const pages = await pagesOf();
        expect(pages.map(page => page.status)).toEqual([200, 200, 200, 400]);
        for (const [index, page] of pages.entries()) {
          const { marks, links } = await readMarks(page.text);
          expect(marks).toEqual(plain[index]!.marks);
          expect(links.map(link => link.replace(/^mailto:(?:[^?&"'<>\s]|&#39;)+$/, 'mailto:surat'))).toEqual(
            plain[index]!.links,
          );
        }
      }),
      { numRuns: 100 },
    );
  });
});

describe('cost', () => {
  test('is one round trip and no write, and the reads of one customer among many', async () => {
    const isp = await makeIsp();
    const customer = await addSubscriber(isp);
    await addDue(isp, customer.id);
    await run(
      isp,
      `INSERT INTO customers (id, customer_code, full_name, phone, status, service_plan_id, due_day, billing_type, auto_isolir,
        connection_type, custom_fields, search_text, created_at, updated_at)
      SELECT 'c' || value, 'X' || value, 'x', '0', 'active', ?, 1, 'prepaid', 1, 'pppoe', '{}', 'x', 1, 1
      FROM json_each('[' || rtrim(replace(hex(zeroblob(500)), '00', '1,'), ',') || ']') GROUP BY key
      ON CONFLICT DO NOTHING`,
      isp.plan_id,
    );
    await run(
      isp,
      `INSERT INTO payments (id, customer_id, amount, status, due_date, owed_since, payment_for, payment_date, created_at,
        updated_at)
      SELECT 'p' || key, iif(key % 2, 'c1', ?), 1, 'paid', '2026-01-01', '2026-01-01', 'other', '2026-01-01', 1, 1
      FROM json_each('[' || rtrim(replace(hex(zeroblob(500)), '00', '1,'), ',') || ']')`,
      customer.id,
    );
    const costOf = async (form: { customer_code: string; phone: string } | null) => {
      const lines: string[] = [];
      const log = vi.spyOn(console, 'log').mockImplementation(line => void lines.push(String(line)));
      env.LOG_REQUESTS = 'yes';
      await ask(isp.tenant.slug, form);
      env.LOG_REQUESTS = 'no';
      log.mockRestore();
      // neither code nor phone is in the log
      expect(lines.join()).not.toMatch(/CUST|7890/);
      const { round_trips, rows_read, rows_written } = JSON.parse(lines.at(-1)!);
      return { round_trips, rows_read, rows_written };
    };
    expect(await costOf(null)).toEqual({ round_trips: 1, rows_read: 1, rows_written: 0 });
    const found = await costOf(formOf(customer));
    expect(found).toMatchObject({ round_trips: 1, rows_written: 0 });
    expect(found.rows_read).toBeLessThan(10);
    const wrong = await costOf(formOf(customer, '0811-0000-0000'));
    expect(wrong).toEqual(found);
    expect(await costOf({ customer_code: 'TIDAK', phone: PHONE })).toMatchObject({ round_trips: 1, rows_written: 0 });
  });
});
