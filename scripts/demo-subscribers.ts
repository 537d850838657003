/** The demo ISP's subscribers at home: they dial in on the simulated router and use their lines. */

interface SecretRow {
  name: string;
  disabled: string;
}

/** Three of four who may are online, each with a steady rate of its own; the figures are the same at every start. */
export async function dialSubscribers(control_url: string): Promise<number> {
  const rows = (await (await fetch(`${control_url}/rows?menu=/ppp/secret`)).json()) as SecretRow[];
  const online = rows.filter((row, index) => row.disabled !== 'true' && index % 4 !== 3);
  let dialled = 0;
  for (const [index, { name }] of online.entries()) {
    if (!(await post(control_url, '/dial', { name }))) continue;
    dialled++;
    const download_bps = (1 + ((index * 7) % 23)) * 250_000;
    await post(control_url, '/traffic', { name, download_bps, upload_bps: Math.round(download_bps / 8) });
  }
  return dialled;
}

/** False where the router lets nobody in so: a pool has no address left, say. */
async function post(control_url: string, path: string, body: object): Promise<boolean> {
  const answer = await fetch(control_url + path, { method: 'POST', body: JSON.stringify(body) });
  const text = await answer.text();
  if (!answer.ok && answer.status !== 409) throw new Error(`the simulated router refused ${path}: ${text}`);
  return answer.ok;
}
