import { env, SELF } from 'cloudflare:test';
import { describe, expect, test } from 'vitest';
import { TOLERATED } from '../../durable-objects/rate-limiter/suspicion.ts';
import { letIn } from '../support/interleave.ts';
import { call, newAddress, PASSWORD, TestTenant } from '../support/world.ts';

const PANEL = 'https://panel.contoh.example';

const ask = (host: string, init: RequestInit & { headers: Record<string, string> }, path = '/api/v1/customers') =>
  SELF.fetch(`http://${host}${path}`, init);
const preflight = (host: string, origin: string, method = 'GET') =>
  ask(host, {
    method: 'OPTIONS',
    headers: {
      origin,
      'access-control-request-method': method,
      'access-control-request-headers': 'authorization,if-match',
    },
  });
const allowedOf = (response: Response) => response.headers.get('access-control-allow-origin');

describe('pages of other origins', () => {
  test('may ask where the provider named them, at its own subdomain, and nowhere else', async () => {
    const [tenant, other] = [await TestTenant.signUp(), await TestTenant.signUp()];
    const host = `${tenant.slug}.rukun.test`;
    expect(allowedOf(await preflight(host, PANEL))).toBeNull();
    await tenant.put('/settings', { allowed_origins: [PANEL, 'http://localhost:5173', PANEL] });
    expect((await tenant.get('/settings')).allowed_origins).toEqual([PANEL, 'http://localhost:5173']);
    const allowed = await preflight(host, PANEL, 'PUT');
    expect([allowed.status, allowedOf(allowed)]).toEqual([204, PANEL]);
    expect(allowed.headers.get('vary')).toContain('Origin');
    expect(allowed.headers.get('access-control-allow-methods')).toContain('PUT');
    expect(allowed.headers.get('access-control-allow-headers')?.toLowerCase()).toContain('if-match');
    expect(allowed.headers.get('access-control-allow-credentials')).toBeNull();
    for (const [where, origin] of [
      [host, 'https://panel.contoh.example.evil.example'],
      [host, 'http://panel.contoh.example'],
      [host, 'https://evil.example'],
      [host, 'null'],
      [`${other.slug}.rukun.test`, PANEL],
      ['rukun.test', PANEL],
      ['tidak-ada.rukun.test', PANEL],
    ] as const)
      expect(allowedOf(await preflight(where, origin)), `${origin} at ${where}`).toBeNull();
    const headers = { origin: PANEL, authorization: `Bearer ${tenant.admin.token}` };
    const answer = await ask(host, { headers });
    expect([answer.status, allowedOf(answer)]).toEqual([200, PANEL]);
    const exposed = answer.headers.get('access-control-expose-headers')!.split(',');
    for (const name of ['ETag', 'RateLimit', 'Retry-After', 'X-Request-Id', 'X-D1-Bookmark'])
      expect(exposed).toContain(name);
    // a refusal must be readable as well
    const refused = await ask(host, { headers: { origin: PANEL } });
    expect([refused.status, allowedOf(refused)]).toEqual([401, PANEL]);
    await tenant.put('/settings', { allowed_origins: [] });
    expect(allowedOf(await preflight(host, PANEL))).toBeNull();
  });

  test('can’t have their visitors blocked: what a browser sends without asking is refused before anything is looked up', async () => {
    const tenant = await TestTenant.signUp();
    const host = `${tenant.slug}.rukun.test`;
    await tenant.put('/settings', { allowed_origins: [PANEL] });
    const address = newAddress();
    const foreign = { 'cf-connecting-ip': address, origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' };
    const picture = { ...foreign, 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' };
    const frame = { ...foreign, 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'iframe' };
    const script = { ...foreign, 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' };
    const socket = (token: string, origin: string) => ({ 'cf-connecting-ip': address, origin, upgrade: 'websocket', 'sec-websocket-protocol': `rukun.v1, bearer.${token}` }); // prettier-ignore
    const statuses = new Set<number>();
    const most = Math.max(TOLERATED.tenant.most, TOLERATED.token.most) + 3;
    for (let i = 0; i < most; i++)
      for (const [where, headers, path, method] of [
        ['rukun.test', picture, `/api/v1/isolir/tebak-${i}`, 'GET'],
        ['rukun.test', frame, `/api/v1/isolir/tebak-b${i}`, 'GET'],
        [`tebak-c${i}.rukun.test`, script, '/api/v1/auth/login', 'GET'],
        [`tebak-d${i}.rukun.test`, { ...script, 'content-type': 'text/plain' }, '/api/v1/auth/login', 'POST'],
        [host, socket(`x.y.${i}`, 'https://evil.example'), '/api/v1/ws', 'GET'],
        [host, socket(`x.y.${i}`, 'null'), '/api/v1/ws', 'GET'],
        [host, picture, `/api/v1/isolir/${tenant.slug}`, 'GET'],
      ] as const)
        statuses.add((await ask(where, { method, headers }, path)).status);
    expect([...statuses]).toEqual([403]);
    const body = JSON.stringify({ email: `ayu@${tenant.slug}.example`, password: PASSWORD });
    const json = { ...script, 'content-type': 'application/json' };
    expect((await ask(host, { method: 'POST', headers: json, body }, '/api/v1/auth/login')).status).toBe(200);
    // who follows a link is let in, and so are the provider's own pages
    const followed = { ...foreign, 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };
    expect((await ask(host, { headers: followed }, `/api/v1/isolir/${tenant.slug}`)).status).toBe(200);
    for (const origin of [PANEL, `http://${host}`]) {
      const opened = await ask(host, { headers: socket(tenant.admin.token, origin) }, '/api/v1/ws');
      expect(opened.status, origin).toBe(101);
      opened.webSocket!.accept();
      opened.webSocket!.close();
    }
  });

  test('of two changes at once the newer one is what browsers are told, however slow the other is', async () => {
    const tenant = await TestTenant.signUp();
    const put = (origin: string) => tenant.put('/settings', { allowed_origins: [origin] });
    // the first one has read its settings, and is about to tell the directory
    const between = letIn(env.DIRECTORY_DB, 'UPDATE tenants SET allowed_origins', () => put('https://baru.example'));
    await put(PANEL);
    between.stop();
    expect(between.happened).toBe(true);
    expect(await tenant.get('/settings')).toMatchObject({ allowed_origins: ['https://baru.example'] });
    const host = `${tenant.slug}.rukun.test`;
    expect(allowedOf(await preflight(host, PANEL))).toBeNull();
    expect(allowedOf(await preflight(host, 'https://baru.example'))).toBe('https://baru.example');
  });

  test('are named as browsers name them, or refused', async () => {
    const tenant = await TestTenant.signUp();
    for (const origin of [
      '*',
      'null',
      'panel.example',
      'https://panel.example/',
      'https://PANEL.example',
      'https://panel.example/a',
      'ftp://panel.example',
      'https://a:b@panel.example',
      'https://panel.example:443',
      '',
    ]) {
      const answer = await tenant.call('PUT', '/settings', { body: { allowed_origins: [origin] } });
      expect([answer.status, Object.keys(answer.error?.details ?? {})], origin).toEqual([400, ['allowed_origins.0']]);
    }
    expect((await tenant.get('/settings')).allowed_origins).toEqual([]);
  });
});

describe('headers', () => {
  test('every answer says how browsers must treat it', async () => {
    const tenant = await TestTenant.signUp();
    const answers = [
      await tenant.call('GET', '/customers'),
      await tenant.call('GET', '/nowhere'),
      await call('GET', '/auth/me'),
      await call('GET', `/isolir/${tenant.slug}`),
      await call('GET', '/isolir/tidak-ada'),
    ];
    for (const { headers, status } of answers) {
      expect(headers.get('strict-transport-security'), String(status)).toMatch(/max-age=\d{8}/);
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('x-frame-options')).toMatch(/DENY|SAMEORIGIN/);
      expect(headers.get('referrer-policy')).toBe('no-referrer');
      expect(headers.get('content-security-policy')).toMatch(/frame-ancestors 'none'/);
      expect(headers.get('content-security-policy')).not.toMatch(/script-src[^;]*unsafe/);
      expect(headers.get('x-request-id')).toBeTruthy();
    }
  });

  test('what is said to one user is kept by no cache on the way', async () => {
    const tenant = await TestTenant.signUp();
    for (const path of ['/customers', '/auth/me', '/settings'])
      expect((await tenant.call('GET', path)).headers.get('cache-control'), path).toBe('private, no-cache');
    expect((await call('POST', '/auth/login', { tenant: tenant.slug, body: {} })).headers.get('cache-control')).toBe(
      'private, no-cache',
    );
  });
});
