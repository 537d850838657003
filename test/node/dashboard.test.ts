import { generateKeyPairSync } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core';
import { Secret, TOTP } from 'otpauth';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectLive, createRukunClient, signIn, unwrap, type RukunClient, type Schemas } from '../../client/index.ts';
import { makeSecrets } from '../../scripts/keys.ts';
import { buildWorker, serveWorker, type LocalWorker, WIDE_LIMITS } from '../../scripts/local-worker.ts';
import { BRIDGE_HEADER, REPORT_PATH, type RouterMeasurement, TENANT_HEADER } from '../../src/protocol/messages.ts';
import {
  BODY_HASH_HEADER,
  hashText,
  NONCE_HEADER,
  SIGNATURE_HEADER,
  signRequest,
  TIME_HEADER,
} from '../../src/protocol/signature.ts';

/** The page at /live as a browser shows it, on the built Worker, with a network in between that can be cut. */

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const is_missing = !existsSync(CHROMIUM);
if (is_missing && !process.env.CI)
  process.stdout.write(`dashboard.test.ts is skipped: no browser at ${CHROMIUM}; CHROMIUM names another one\n`);

const QUIET = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

const ADMIN = { email: 'ayu@melati.example', password: 'benar-kuda-baterai' };
const TECHNICIAN = { email: 'budi@melati.example', password: 'tangga-kabel-hujan' };

/** Bytes go through it, until it is cut. */
class Network {
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer(socket => this.#carry(socket));
  #is_cut = false;
  #target = 0;

  async listen(target: number): Promise<void> {
    this.#target = target;
    await new Promise<void>(resolve => this.#server.listen(0, '127.0.0.1', resolve));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  #carry(socket: Socket): void {
    if (this.#is_cut) return void socket.destroy();
    const onward = connect(this.#target, '127.0.0.1');
    for (const end of [socket, onward]) {
      this.#sockets.add(end);
      end.on('error', () => {}).on('close', () => this.#sockets.delete(end));
    }
    socket.pipe(onward).pipe(socket);
    socket.on('close', () => onward.destroy());
    onward.on('close', () => socket.destroy());
  }

  cut(): void {
    this.#is_cut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend(): void {
    this.#is_cut = false;
  }

  async stop(): Promise<void> {
    this.cut();
    await new Promise(resolve => this.#server.close(resolve));
  }
}

const network = new Network();
let build_dir: string;
let worker: LocalWorker;
let browser: Browser;
let api: RukunClient;
let plan_id: string;
const customers: Schemas['Customer'][] = [];

async function addCustomer(full_name: string): Promise<Schemas['Customer']> {
  const body = { full_name, service_plan_id: plan_id, phone: '0812-3456-7890', address: 'Jl. Melati 7' };
  return unwrap(await api.POST('/api/v1/customers', { body }));
}

const activate = async (id: string) =>
  unwrap(await api.POST('/api/v1/customers/{id}/activate', { params: { path: { id } }, body: {} }));

async function changeUser(email: string, body: Partial<Schemas['UserInput']>): Promise<void> {
  const users = unwrap(await api.GET('/api/v1/users', { params: { query: { per_page: 100 } } }));
  const { id } = users.find(user => user.email === email)!;
  unwrap(await api.PUT('/api/v1/users/{id}', { params: { path: { id } }, body }));
}

let payments = 0;
const pay = async (id: string, amount: number) =>
  unwrap(
    await api.POST('/api/v1/customers/{id}/payments', {
      params: { path: { id }, header: { 'Idempotency-Key': `loket-${++payments}` } },
      body: { amount, payment_method: 'cash' },
    }),
  );

/** A bridge of the provider: it enrols as one does, and tells what it saw of one router. */
async function enrolBridge(): Promise<(router_id: string, seen: Partial<RouterMeasurement>) => Promise<void>> {
  const { id } = unwrap(await api.POST('/api/v1/bridges', { body: { name: 'Kantor' } }));
  const { token } = unwrap(await api.POST('/api/v1/bridges/{id}/enroll', { params: { path: { id } } }));
  const { x, y } = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' });
  const public_key = { kty: 'EC' as const, crv: 'P-256' as const, x: x!, y: y! };
  const enrolment = { body: { token, public_key, version: '1' } };
  const { signing_secret, tenant_id } = unwrap(await api.POST('/api/v1/bridges/enroll', enrolment));
  let number = 0;
  return async (router_id, seen) => {
    const facts = { identity: null, board_name: null, version: null, uptime_seconds: null, pools: null, lines: null };
    const router = { router_id, status: 'online', error: null, latency_ms: null, ...facts, ...seen };
    const batch = { spool_id: id, number: ++number, measured_at_ms: Date.now(), routers: [router], devices: [] };
    const body = JSON.stringify({ version: '1', watched_tag: null, batch, batches_waiting: 0 });
    const [time_ms, nonce] = [Date.now(), crypto.randomUUID()];
    const said = { time_ms, nonce, method: 'POST', path: REPORT_PATH, body };
    const headers = {
      'content-type': 'application/json',
      [TENANT_HEADER]: tenant_id,
      [BRIDGE_HEADER]: id,
      [TIME_HEADER]: String(time_ms),
      [NONCE_HEADER]: nonce,
      [BODY_HASH_HEADER]: await hashText(body),
      [SIGNATURE_HEADER]: await signRequest(signing_secret, said),
    };
    const { status } = await fetch(worker.url + REPORT_PATH, { method: 'POST', headers, body });
    expect(status).toBe(200);
  };
}

/** An ISP with two customers that are served and three that wait, one due and some money of today. */
async function fillProvider(url: string): Promise<void> {
  const sign_up = {
    slug: 'melati',
    name: 'Melati Net',
    admin_name: 'Ayu Lestari',
    admin_email: ADMIN.email,
    admin_password: ADMIN.password,
    timezone: 'Asia/Jayapura',
  };
  unwrap(await createRukunClient({ url }).POST('/api/v1/tenants', { body: sign_up }));
  ({ client: api } = await signIn({ url, tenant: 'melati' }, ADMIN));
  const technician = { ...TECHNICIAN, name: 'Budi Teknisi', role: 'technician' as const };
  unwrap(await api.POST('/api/v1/users', { body: technician }));
  const plan = { name: 'Rumah', price: 150_000, download_kbps: 10_000, upload_kbps: 5_000 };
  plan_id = unwrap(await api.POST('/api/v1/service-plans', { body: plan })).id;
  for (const name of ['Citra', 'Dewi', 'Eko', 'Fajar', 'Gita']) customers.push(await addCustomer(`${name} Rahayu`));
  for (const { id } of customers.slice(0, 2)) await activate(id);
  const due = { customer_id: customers[0]!.id, amount: 1_500_000, payment_for: 'installation' as const };
  unwrap(await api.POST('/api/v1/payments', { body: due }));
  await pay(customers[1]!.id, 50_000);
}

beforeAll(async () => {
  if (is_missing && process.env.CI) throw new Error(`no browser at ${CHROMIUM}; CHROMIUM names another one`);
  if (is_missing) return;
  build_dir = await mkdtemp(path.join(tmpdir(), 'rukun-dashboard-'));
  buildWorker(build_dir);
  worker = await serveWorker({
    build_dir,
    port: 0,
    pool_size: 2,
    bindings: {
      ...(await makeSecrets(Date.now())),
      BASE_DOMAIN: 'localhost',
      SIGNUP: 'open',
      PASSWORD_COST: '4',
      LOG_REQUESTS: 'no',
      ...WIDE_LIMITS,
    },
  });
  await network.listen(Number(new URL(worker.url).port));
  await fillProvider(worker.url);
  browser = await chromium.launch({ executablePath: CHROMIUM, args: QUIET });
});

afterAll(async () => {
  await browser?.close();
  await network.stop();
  await worker?.stop();
  if (build_dir) await rm(build_dir, { recursive: true, force: true });
});

let context: BrowserContext;
let page: Page;
/** What a browser complains of where it shouldn't: a script's error, a refused request, a breach of the CSP. */
let complaints: string[];
let hosts: Set<string>;
let expected: RegExp | null;

const origin = (host = 'melati.localhost') => `http://${host}:${network.port}`;

interface PageOptions {
  locale?: string;
  colorScheme?: 'light' | 'dark';
  width?: number;
  reducedMotion?: 'reduce';
  /** What waits fifteen seconds for an answer waits three. */
  hurries?: boolean;
}

async function openPage({ locale = 'id-ID', width = 1280, hurries, ...looks }: PageOptions = {}): Promise<void> {
  context = await browser.newContext({ locale, ...looks, viewport: { width, height: 800 } });
  page = await context.newPage();
  page.setDefaultTimeout(60_000);
  if (hurries)
    await page.addInitScript(() => {
      const timeout = AbortSignal.timeout.bind(AbortSignal);
      AbortSignal.timeout = ms => timeout(ms === 15_000 ? 3000 : ms);
    });
  page.on('console', message => {
    if (['error', 'warning'].includes(message.type()) && !expected?.test(message.text()))
      complaints.push(message.text());
  });
  page.on('pageerror', error => complaints.push(String(error.stack)));
  context.on('request', request => hosts.add(new URL(request.url()).host));
  page.on('websocket', socket => hosts.add(new URL(socket.url()).host));
}

async function fillForm({ email, password }: typeof ADMIN): Promise<void> {
  await page.fill('#email', email);
  await page.fill('#password', password);
  await page.click('button[type=submit]');
}

async function signInOnPage(credentials = ADMIN, options: PageOptions = {}): Promise<void> {
  await openPage(options);
  await page.goto(`${origin()}/live`);
  await fillForm(credentials);
  await connection('open');
}

/** The API's answer, with figures that are larger. */
const stubFigures = (end: string, change: (data: Record<string, unknown>) => void) =>
  page.route(`**${end}`, async route => {
    const { host } = new URL(route.request().url());
    // what isn't a browser knows no names below localhost
    const url = route.request().url().replace(host, `127.0.0.1:${network.port}`);
    const response = await route.fetch({ url });
    const answer = (await response.json()) as { data: Record<string, unknown> };
    change(answer.data);
    await route.fulfill({ response, json: answer });
  });

const countMotionListeners = `{
  globalThis.motion_listeners = 0;
  const add = EventTarget.prototype.addEventListener;
  EventTarget.prototype.addEventListener = function (type, ...rest) {
    if (type === 'animationend') globalThis.motion_listeners++;
    return add.call(this, type, ...rest);
  };
}`;

/** Those that are on two lines, or reach beyond the inside of their card. */
const findBrokenFigures = `[...document.querySelectorAll('[data-figure]')].filter(node => {
  const range = document.createRange();
  range.selectNodeContents(node);
  const card = node.closest('.tile, .card').getBoundingClientRect();
  const { left, right } = range.getBoundingClientRect();
  return range.getClientRects().length > 1 || left < card.left + 5 || right > card.right - 5;
}).map(node => node.dataset.figure)`;

/** What of its text stands out less from what is behind it than WCAG asks (4.5 : 1, large text 3 : 1), and how far. */
const findFaintText = `(() => {
  const read = text => {
    const [r, g, b, alpha = 1] = text.match(/[\\d.]+(?:e-?\\d+)?/g).map(Number);
    const scale = text.startsWith('color(') ? 1 : 255;
    return { rgb: [r / scale, g / scale, b / scale], alpha };
  };
  const over = (front, back) => front.rgb.map((part, at) => part * front.alpha + back[at] * (1 - front.alpha));
  const behind = node => {
    if (!node) return [1, 1, 1];
    const own = read(getComputedStyle(node).backgroundColor);
    return own.alpha === 1 ? own.rgb : over(own, behind(node.parentElement));
  };
  const linear = part => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const texts = [...document.querySelectorAll('body *')].filter(
    node => node.checkVisibility() && [...node.childNodes].some(child => child.nodeType === 3 && child.data.trim()),
  );
  const faint = texts.flatMap(node => {
    const { color, fontSize, fontWeight } = getComputedStyle(node);
    const back = behind(node);
    const [less, more] = [light(over(read(color), back)), light(back)].sort((a, b) => a - b);
    const is_large = parseFloat(fontSize) >= (fontWeight >= 700 ? 18.66 : 24);
    const contrast = (more + 0.05) / (less + 0.05);
    return contrast < (is_large ? 3 : 4.5) ? [node.className + ' ' + node.innerText + ' ' + contrast.toFixed(2)] : [];
  });
  return { faint, texts: texts.length, page: light(behind(document.body)) };
})()`;

/** The access token that the tab keeps counts as old: a reload renews it. */
const endFreshness = () =>
  page.evaluate(`sessionStorage.setItem('rukun.session',
    JSON.stringify({ ...JSON.parse(sessionStorage.getItem('rukun.session')), fresh_until: 0 }))`);

const connection = (state: string) => page.waitForSelector(`.connection[data-state=${state}]`);
const figure = (name: string) => page.locator(`[data-figure=${name}]`);
const shows = (name: string, text: string) => expect.poll(() => figure(name).innerText()).toBe(text);
const tells = (text: string) => page.waitForSelector(`.events li:has-text("${text}")`);

beforeEach(() => {
  [complaints, hosts, expected] = [[], new Set(), null];
});

afterEach(async () => {
  network.mend();
  await context?.close();
  expect(complaints).toEqual([]);
  expect([...hosts].filter(host => !host.endsWith(`localhost:${network.port}`))).toEqual([]);
});

describe.skipIf(is_missing && !process.env.CI)('the dashboard', () => {
  it('asks for the provider where the host doesn’t name it, and says what is wrong', async () => {
    expected = /status of 40[14]/;
    await openPage();
    await page.goto(`${origin('localhost')}/live`);
    await fillForm(ADMIN);
    await page.waitForSelector('text=Isi nama penyedia.');
    await page.fill('#provider', 'mawar');
    await fillForm({ ...ADMIN, email: ' ' });
    await page.waitForSelector('text=Isi alamat e-mail.');
    await fillForm({ ...ADMIN, password: '' });
    await page.waitForSelector('text=Isi kata sandi.');
    await page.fill('#provider', 'mawar');
    await fillForm(ADMIN);
    await page.waitForSelector('text=Tidak ada penyedia bernama “mawar”.');
    await page.fill('#provider', 'Melati');
    await fillForm({ ...ADMIN, password: 'salah' });
    await page.waitForSelector('text=E-mail atau kata sandi salah.');
    await page.click('text=English');
    await fillForm({ ...ADMIN, password: 'wrong' });
    await page.waitForSelector('text=E-mail address or password is wrong.');
    await fillForm(ADMIN);
    await connection('open');
    expect(await page.title()).toBe('Melati Net · Rukun');
  });

  it('asks for a code where there is a second factor, and lets in who has to set one up only then', async () => {
    expected = /status of 401/;
    const own = { email: 'sari@melati.example', password: ADMIN.password };
    unwrap(await api.POST('/api/v1/users', { body: { ...own, name: 'Sari', role: 'viewer' } }));
    unwrap(await api.PUT('/api/v1/settings', { body: { second_factor_roles: ['viewer'] } }));
    await openPage({ width: 320 });
    await page.goto(`${origin()}/live`);
    await fillForm(own);
    await page.waitForSelector('text=Peran Anda memerlukan verifikasi dua langkah.');
    const { client } = await signIn({ url: worker.url, tenant: 'melati' }, own);
    const body = { current_password: own.password };
    const { secret } = unwrap(await client.POST('/api/v1/auth/totp', { body }));
    const totp = new TOTP({ secret: Secret.fromBase32(secret) });
    // the code before, so that the present one can be used; once more where it has become too old on its way
    const confirm = async () => {
      const code = totp.generate({ timestamp: Date.now() - 30_000 });
      return { code, is_taken: !(await client.POST('/api/v1/auth/totp/confirm', { body: { code } })).error };
    };
    let confirmed = await confirm();
    if (!confirmed.is_taken) confirmed = await confirm();
    expect(confirmed.is_taken).toBe(true);
    const earlier = confirmed.code;
    await fillForm(own);
    await page.waitForSelector('text=Isi kode verifikasi.');
    await page.fill('#code', earlier);
    await page.click('button[type=submit]');
    await page.waitForSelector('text=Kode salah, sudah lewat, atau sudah dipakai.');
    if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/code.png`, fullPage: true });
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(320);
    // whoever else wants to sign in is not asked for a code before there is one
    await page.fill('#email', ADMIN.email);
    expect(await page.isVisible('#code')).toBe(false);
    await fillForm(own);
    await page.waitForSelector('text=Isi kode verifikasi.');
    await page.fill('#code', totp.generate());
    await page.click('button[type=submit]');
    await connection('open');
    unwrap(await api.PUT('/api/v1/settings', { body: { second_factor_roles: [] } }));
  });

  it('keeps the form in its language while it is signing in: the answer belongs there', async () => {
    expected = /status of 401/;
    await openPage();
    let answer = () => {};
    await page.route('**/auth/login', async route => {
      await new Promise<void>(resolve => (answer = resolve));
      await route.continue();
    });
    await page.goto(`${origin()}/live`);
    await fillForm({ ...ADMIN, password: 'salah' });
    await page.waitForSelector('text=Sedang masuk …');
    await expect.poll(() => page.locator('.language').isDisabled()).toBe(true);
    answer();
    await page.waitForSelector('text=E-mail atau kata sandi salah.');
    expect(await page.locator('.language').isDisabled()).toBe(false);
  });

  it('shows the figures, and follows what happens', async () => {
    await signInOnPage(ADMIN, { reducedMotion: 'reduce' });
    await page.evaluate(countMotionListeners);
    expect(await page.locator('#provider').count()).toBe(0);
    await shows('active', '2');
    await shows('pending_activation', '3');
    await shows('suspended', '0');
    await shows('cash_today', 'Rp50.000');
    await shows('pending', 'Rp1.500.000');
    await activate(customers[2]!.id);
    await shows('active', '3');
    await shows('pending_activation', '2');
    await tells('Eko Rahayu mulai aktif');
    // marked as changed; for who wants no motion it doesn't move
    expect(await figure('active').getAttribute('class')).toBe('flash');
    expect(await figure('suspended').getAttribute('class')).toBeNull();
    expect(await page.evaluate('getComputedStyle(document.querySelector(".flash")).animationName')).toBe('none');
    // a change leaves nothing behind that waits for the end of a motion
    expect(await page.evaluate('motion_listeners')).toBe(0);
    await pay(customers[0]!.id, 1_000_000);
    await shows('cash_today', 'Rp1.050.000');
    await shows('pending', 'Rp500.000');
    await tells('Uang masuk Rp1.000.000 dari Citra Rahayu');
    await tells('Sisa tagihan Citra Rahayu: Rp500.000');
  });

  it('speaks English, in the time of the provider, and remembers the choice', async () => {
    await signInOnPage(ADMIN, { locale: 'en-US' });
    await shows('cash_today', 'Rp1,050,000');
    const { full_name, created_at } = await addCustomer('Hadi "<b>" Santoso');
    await page.waitForSelector('.events li');
    const [newest] = await page.locator('.events li').allInnerTexts();
    // Jayapura is nine hours ahead
    const time = new Date(Date.parse(created_at) + 9 * 3_600_000).toISOString().slice(11, 16);
    expect(newest).toContain(`New customer: ${full_name}`);
    expect(newest!.slice(0, 5)).toBe(time);
    await page.click('button.language');
    await tells('Pelanggan baru: Hadi');
    await shows('cash_today', 'Rp1.050.000');
    // only what is new is marked: not what another language says of it, nor what is told again
    expect(await page.locator('.events .flash').count()).toBe(0);
    await page.reload();
    await tells('Pelanggan baru: Hadi');
    expect(await page.locator('.events .flash').count()).toBe(0);
    await page.waitForSelector('text=Langsung');
  });

  it('keeps the direction of a name to the name', async () => {
    await signInOnPage();
    await addCustomer('\u202emoc.live');
    await page.waitForSelector('.events bdi');
    expect(await page.locator('.events bdi').first().textContent()).toBe('\u202emoc.live');
  });

  it('tells alerts that somebody looks after from none', async () => {
    await openPage();
    const totals = { open: 0, acknowledged: 1 };
    await page.route('**/monitoring/alerts?*', (route, request) => {
      const status = new URL(request.url()).searchParams.get('status') as keyof typeof totals;
      return route.fulfill({ json: { success: true, data: [], meta: { total: totals[status] } } });
    });
    await page.goto(`${origin()}/live`);
    await fillForm(ADMIN);
    await page.waitForSelector('.alerts:has-text("1 sedang ditangani")');
    expect(await page.locator('.alerts').innerText()).toContain('tidak ada yang baru');
    totals.acknowledged = 0;
    await page.reload();
    await page.waitForSelector('.alerts:has-text("Semua aman.")');
    expect(await page.locator('.alerts').innerText()).not.toContain('ditangani');
  });

  it('shows a technician no money', async () => {
    await signInOnPage(TECHNICIAN);
    await shows('active', '3');
    expect(await page.locator('.money').count()).toBe(0);
    await pay(customers[1]!.id, 25_000);
    await activate(customers[3]!.id);
    await shows('active', '4');
    await tells('Fajar Rahayu mulai aktif');
    expect(await page.locator('body').innerText()).not.toMatch(/Rp|Uang/);
  });

  it('comes back after the network was away, with what happened meanwhile', async () => {
    expected = /ERR_|WebSocket/;
    await signInOnPage();
    await shows('active', '4');
    await shows('cash_today', 'Rp1.075.000');
    network.cut();
    await connection('waiting');
    await page.waitForSelector('text=/menyambung lagi/');
    await page.waitForSelector('text=Angka terakhir yang diketahui.');
    await activate(customers[4]!.id);
    await pay(customers[4]!.id, 75_000);
    await shows('active', '4');
    network.mend();
    await connection('open');
    await shows('active', '5');
    await shows('cash_today', 'Rp1.150.000');
    await tells('Gita Rahayu mulai aktif');
    await tells('Uang masuk Rp75.000 dari Gita Rahayu');
    expect(await page.locator('.events li:has-text("Gita Rahayu mulai aktif")').count()).toBe(1);
  });

  it('ends with the role that one had, and shows what another one may see', async () => {
    expected = /status of 401/;
    await signInOnPage(TECHNICIAN);
    await shows('active', '5');
    await changeUser(TECHNICIAN.email, { role: 'viewer' });
    await page.waitForSelector('text=Sesi Anda sudah berakhir. Silakan masuk lagi.');
    await fillForm(TECHNICIAN);
    await shows('cash_today', 'Rp1.150.000');
    expect(await page.locator('.jobs').count()).toBe(0);
  });

  it('ends with the session, and says why', async () => {
    expected = /status of 401/;
    await signInOnPage();
    await page.click('text=Keluar');
    await page.waitForSelector('text=Anda sudah keluar.');
    expect(await page.evaluate('sessionStorage.length')).toBe(0);
    await page.reload();
    await page.waitForSelector('#password');
    await fillForm(TECHNICIAN);
    await connection('open');
    await changeUser(TECHNICIAN.email, { is_active: false });
    await page.waitForSelector('text=Sesi Anda sudah berakhir. Silakan masuk lagi.');
  });

  it('goes on after a reload without a renewal, which two reloads in a row could break', async () => {
    await signInOnPage();
    const renewals: string[] = [];
    page.on('request', request => void (request.url().endsWith('/auth/refresh') && renewals.push(request.url())));
    for (let round = 0; round < 3; round++) await page.reload({ waitUntil: 'domcontentloaded' });
    await connection('open');
    await shows('active', '5');
    expect(renewals).toEqual([]);
  });

  it('asks in a duplicated tab to sign in, and leaves the session to the first', async () => {
    await signInOnPage();
    const [copy] = await Promise.all([context.waitForEvent('page'), page.evaluate('void open(location.href)')]);
    await copy.waitForSelector('text=Tab ini salinan dari tab lain.');
    expect(await copy.evaluate('sessionStorage.getItem("rukun.session")')).toBeNull();
    expect(await copy.evaluate('sessionStorage.length')).toBe(0);
    await endFreshness();
    await page.reload();
    await connection('open');
    await copy.fill('#email', ADMIN.email);
    await copy.fill('#password', ADMIN.password);
    await copy.click('button[type=submit]');
    await copy.waitForSelector('.connection[data-state=open]');
    await copy.reload();
    await copy.waitForSelector('.connection[data-state=open]');
  });

  it('asks again where an answer doesn’t come, and says meanwhile that it asks', async () => {
    expected = /ERR_/;
    await signInOnPage(ADMIN, { hurries: true });
    await endFreshness();
    const stuck = new Set(['/auth/refresh', '/customers/stats']);
    await page.route('**/api/v1/**', async (route, request) => {
      const [path = ''] = [...stuck].filter(end => request.url().endsWith(end));
      if (!stuck.delete(path)) await route.continue();
    });
    await page.reload();
    await page.waitForSelector('text=Menghubungi server …');
    await connection('open');
    await shows('active', '5');
    expect(stuck.size).toBe(0);
  });

  it('works where the browser keeps nothing', async () => {
    await openPage();
    await page.addInitScript(() => {
      for (const name of ['sessionStorage', 'localStorage'])
        Object.defineProperty(globalThis, name, {
          get() {
            throw new DOMException('denied', 'SecurityError');
          },
        });
    });
    await page.goto(`${origin()}/live`);
    await fillForm(ADMIN);
    await connection('open');
    await shows('active', '5');
  });

  it.each(['{', '7', '{}', '{"tab_id":"x","answer":{}}'])('bears what it didn’t keep itself: %s', async text => {
    expected = /status of 4/;
    await openPage();
    await page.addInitScript(kept => {
      for (const name of ['rukun.session', 'rukun.place']) sessionStorage.setItem(name, kept);
    }, text);
    await page.goto(`${origin()}/live`);
    await fillForm(ADMIN);
    await connection('open');
  });

  it('shows a router that goes away and comes back as it happens, and what its lines move', async () => {
    const tellOf = await enrolBridge();
    const access = { name: 'Gerbang', host: '10.0.0.1', username: 'rukun', password: 'rahasia-router' };
    const { id } = unwrap(await api.POST('/api/v1/routers', { body: access }));
    await signInOnPage();
    const row = page.locator('.routers li');
    const showsRouter = (state: string, text: string) =>
      expect
        .poll(async () => [await row.getAttribute('class'), await row.innerText()])
        .toEqual([state, expect.stringContaining(text)]);
    await showsRouter('unknown', 'Belum diketahui');
    await tellOf(id, { status: 'online', latency_ms: 3, lines: [] });
    await showsRouter('online', 'Terhubung');
    await showsRouter('online', '0 pelanggan online');
    await tellOf(id, { status: 'offline', error: 'connect ETIMEDOUT' });
    await showsRouter('offline', 'Terputus');
    await showsRouter('offline', 'ETIMEDOUT');
    // what it moved before says nothing of now
    expect(await row.innerText()).not.toContain('pelanggan online');
    await shows('alerts', '1');
    await tellOf(id, { status: 'online', latency_ms: 3 });
    await showsRouter('online', 'Terhubung');
    expect(await row.innerText()).not.toContain('ETIMEDOUT');
    await shows('alerts', '0');
  });

  it.each([
    ['light', 0.8, 1],
    ['dark', 0, 0.05],
  ] as const)('can be read on a %s screen: form, board and what is wrong', async (colorScheme, darkest, lightest) => {
    expected = /status of 401/;
    await openPage({ colorScheme, reducedMotion: 'reduce' });
    const isLegible = async (least: number) => {
      const { faint, texts, page: brightness } = await page.evaluate<{ faint: string[]; texts: number; page: number }>(findFaintText); // prettier-ignore
      expect(faint).toEqual([]);
      expect(texts).toBeGreaterThan(least);
      expect(brightness).toBeGreaterThanOrEqual(darkest);
      expect(brightness).toBeLessThanOrEqual(lightest);
    };
    await page.goto(`${origin()}/live`);
    await fillForm({ ...ADMIN, password: 'salah' });
    await page.waitForSelector('text=E-mail atau kata sandi salah.');
    await isLegible(5);
    await fillForm(ADMIN);
    await connection('open');
    await page.waitForSelector('.routers li');
    await addCustomer('Joko Rahayu');
    await tells('Joko Rahayu');
    await isLegible(20);
    if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/${colorScheme}.png`, fullPage: true });
  });

  it.each(['id-ID', 'en-US'])('fits the smallest phone (%s)', async locale => {
    await openPage({ locale, width: 320 });
    await page.goto(`${origin()}/live`);
    await page.waitForSelector('form');
    const width = () => page.evaluate('document.documentElement.scrollWidth');
    expect(await width()).toBe(320);
    await fillForm(ADMIN);
    await shows('active', '5');
    await addCustomer(`Wahyu${'wardhana'.repeat(12)}`);
    await page.waitForSelector('.events li');
    expect(await width()).toBe(320);
  });

  it.each([
    [320, 800],
    [720, 450],
    [1080, 800],
    [1440, 900],
    [1920, 1080],
  ])('has room for large figures on %i px', async (width, height) => {
    await openPage({ width });
    await page.setViewportSize({ width, height });
    await stubFigures('/customers/stats', data => {
      Object.assign(data, { total: 1_010_000, new_this_month: 10_000 });
      data.by_status = { active: 123_456, suspended: 10_000, pending_activation: 10, terminated: 1_000_000 };
    });
    await stubFigures('/payments/stats', data => {
      const due = { count: 120_000, amount: 1e12 };
      const month = { cash: 1e12, revenue: 1e12 };
      Object.assign(data, { ...month, today: month, by_status: { pending: due, overdue: due } });
    });
    await page.goto(`${origin()}/live`);
    await fillForm(ADMIN);
    await shows('active', '123.456');
    await shows('cash_today', 'Rp1.000.000.000.000');
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width);
    // the last figure may be on its way
    await expect.poll(() => page.evaluate(findBrokenFigures)).toEqual([]);
    if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/big-${width}.png`, fullPage: true });
  });

  it('tells the typed client in Node the same: all of it, once, whatever is cut', async () => {
    const heard: number[] = [];
    const { session } = await signIn({ url: worker.url, tenant: 'melati' }, ADMIN);
    const live = connectLive({
      url: `http://127.0.0.1:${network.port}`,
      token: async () => session.access_token,
      onMessage: message => void ('seq' in message && heard.push(message.seq)),
      timing: { backoff: { first_ms: 20, most_ms: 100 } },
    });
    try {
      // the first position comes from the hub: nothing has happened yet
      await expect.poll(() => live.seq).not.toBeNull();
      const begin = live.seq!;
      for (let round = 0; round < 6; round++) {
        if (round % 2 === 0) network.cut();
        await addCustomer(`Indah ${round}`);
        network.mend();
      }
      const logged = unwrap(await api.GET('/api/v1/audit-logs', { params: { query: { entity_type: 'customer' } } }));
      const expected_seqs = logged.map(({ seq }) => seq).filter(seq => seq > begin);
      await expect.poll(() => heard).toEqual(expected_seqs.sort((a, b) => a - b));
      expect(heard).toHaveLength(6);
    } finally {
      live.close();
    }
  });

  it('every page keeps to a strict policy, the reference too', async () => {
    await openPage();
    await page.goto(`${origin()}/docs`);
    await page.waitForSelector('#operations-tag-customers, .opblock');
    if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/docs.png` });
    for (const path of ['/docs', '/live', '/docs/live', '/live-assets/live.js']) {
      const { headers } = await fetch(worker.url + path);
      expect(headers.get('content-security-policy'), path).toContain("default-src 'none'");
      expect(headers.get('strict-transport-security'), path).toContain('max-age=');
      const rest = ['x-content-type-options', 'x-frame-options', 'referrer-policy'].map(name => headers.get(name));
      expect(rest, path).toEqual(['nosniff', 'DENY', 'no-referrer']);
    }
  });

  it('has nothing inline', async () => {
    const response = await fetch(`${worker.url}/live`);
    const policy = response.headers.get('content-security-policy')!;
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toContain('unsafe');
    expect(await response.text()).not.toMatch(/style=|<style|<script>|https?:/);
  });
});
