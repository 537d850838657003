/** Stands in for cloudflared. What it does is read from a file at each start, so that a test can change its mind. */
import { appendFileSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';

interface Plan {
  /**
   * `crash`: ends at once; `deaf`: runs and is never ready; `hang`: ready until there is another plan, then no more, deaf
   * to SIGTERM; `flap`: ends right after it was ready.
   */
  mode: 'ready' | 'crash' | 'deaf' | 'hang' | 'flap';
}

const [plan_file = '', log_file = '', ...args] = process.argv.slice(2);
const plan = readFileSync(plan_file, 'utf8');
const { mode } = JSON.parse(plan) as Plan;
const note = (what: object) => appendFileSync(log_file, `${JSON.stringify({ pid: process.pid, ...what })}\n`);

note({
  mode,
  args,
  has_token: process.env.TUNNEL_TOKEN !== undefined,
  rukun: Object.keys(process.env).filter(name => name.startsWith('RUKUN_')),
});
process.stderr.write(`INF Starting tunnel with token ${process.env.TUNNEL_TOKEN}\n`);
if (mode === 'crash') process.exit(3);
const port = Number(args[args.indexOf('--metrics') + 1]?.split(':')[1]);
if (mode !== 'deaf') {
  createServer((_, response) => {
    if (mode === 'hang' && readFileSync(plan_file, 'utf8') !== plan) return;
    response.end('{"status":200}');
    if (mode === 'flap') setTimeout(() => process.exit(4), 50);
  }).listen(port, '127.0.0.1');
}
process.on('SIGTERM', () => {
  note({ signal: 'SIGTERM' });
  if (mode !== 'hang') process.exit(0);
});
setInterval(() => undefined, 1000);
