import { expect, test } from 'vitest';
import { TestTenant } from '../support/world.ts';

/** Where a bridge may be: a host name of its own behind a tunnel; loopback only in development. */

test('the address of a bridge is a tunnel’s host name, and nothing inside some network or of our own', async () => {
  const tenant = await TestTenant.signUp();
  const ask = (url: string) => tenant.call('POST', '/bridges', { body: { name: url, url } });
  for (const url of ['https://bridge.melati.example', 'https://bridge.melati.example:8443', 'http://127.0.0.1:8790'])
    expect((await ask(url)).status, url).toBe(201);
  const refused = [
    'http://bridge.melati.example',
    'https://127.0.0.1',
    'https://127.0.0.2',
    'https://10.0.0.1',
    'https://169.254.169.254',
    'https://2130706433',
    'https://[::1]',
    'https://[::ffff:7f00:1]',
    'https://localhost.',
    'https://router',
    'https://x.localhost',
    'https://rukun.test',
    'https://api.rukun.test',
    'https://user:secret@bridge.melati.example',
    'https://bridge.melati.example/path',
    'https://bridge.melati.example/?a=b',
    'ftp://bridge.melati.example',
    'no address',
  ];
  for (const url of refused) {
    const { status, error } = await ask(url);
    expect([status, Object.keys(error?.details ?? {})], url).toEqual([400, ['url']]);
  }
  expect(await tenant.get('/bridges')).toHaveLength(3);
});
