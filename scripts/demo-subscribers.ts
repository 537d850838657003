/** The demo ISP's subscribers at home: they dial in on the simulated router and use their lines. */

interface SecretRow {
  name: string;
  disabled: string;
}

/** Three of four who may are online, each with a steady rate of its own; the figures are the same at every start. */
export async function dialSubscribers(control_url: string): Promise<number> {
  const rows = (await (await fetch(`${control_url}/rows?menu=/ppp/secret`)).json()) as SecretRow[];
  const online = rows.filter((row, index) => row.disabled !== 'true' && index % 4 !== 3);
  for (const [index, { name }] of online.entries()) {
    await post(control_url, '/dial', { name });
    const download_bps = (1 + ((index * 7) % 23)) * 250_000;
    await post(control_url, '/traffic', { name, download_bps, upload_bps: Math.round(download_bps / 8) });
  }
  return online.length;
}

async function post(control_url: string, path: string, body: object): Promise<void> {
  const answer = await fetch(control_url + path, { method: 'POST', body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`the simulated router refused ${path}: ${await answer.text()}`);
}
