import { html } from 'hono/html';
import { PERMISSIONS, ROLES } from '../../auth/permissions.ts';
import { CLOSE } from '../../../durable-objects/tenant-hub/audience.ts';
import { COMMAND_LIMIT, MOST_BYTES } from '../../../durable-objects/tenant-hub/commands.ts';
import { LIVE_EVENTS, TRANSIENT_EVENTS } from '../../events/realtime/catalogue.ts';
import type { Html, HtmlPage } from '../../http/page.ts';

/** /docs/live: how to sign in, listen, come back and go on; each event with an example, from the catalogue itself. */

const STYLE = `
:root{color-scheme:light dark;--text:#1b1f24;--soft:#57606a;--back:#fff;--code:#f3f5f7;--line:#d5dae0;--link:#0b57a4}
@media (prefers-color-scheme:dark){:root{--text:#e6e9ed;--soft:#9aa5b1;--back:#14171b;--code:#1e2329;--line:#343b44;--link:#7db8f5}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--text);font:16px/1.6 system-ui,sans-serif}
main{max-width:860px;margin:0 auto;padding:24px 16px 64px}
a{color:var(--link)}
h1{font-size:28px;line-height:1.25;margin:0 0 8px}
h2{font-size:21px;margin:40px 0 8px;padding-top:16px;border-top:1px solid var(--line)}
h3{font:600 16px/1.4 ui-monospace,monospace;margin:28px 0 4px;overflow-wrap:anywhere}
p,ul{margin:0 0 12px}
ul{padding-left:22px}
.soft{color:var(--soft);font-size:15px}
code{font:14px/1.5 ui-monospace,monospace;background:var(--code);border-radius:4px;padding:1px 4px;overflow-wrap:anywhere}
pre{background:var(--code);border:1px solid var(--line);border-radius:6px;padding:12px;overflow-x:auto;margin:0 0 12px}
pre code{background:none;padding:0;overflow-wrap:normal}
table{border-collapse:collapse;width:100%;margin:0 0 12px}
th,td{text-align:left;vertical-align:top;padding:6px 12px 6px 0;border-bottom:1px solid var(--line)}
td:first-child{white-space:nowrap}
`;

const block = (text: string): Html => html`<pre tabindex="0"><code>${text}</code></pre>`;
const show = (value: unknown): Html => block(JSON.stringify(value, null, 2));

const BROWSER = `// without since: from now on
const url = 'wss://melati.rukun.example/api/v1/ws?since=' + last_seq;
const socket = new WebSocket(url, ['rukun.v1', 'bearer.' + access_token]);
socket.onmessage = ({ data }) => {
  if (data === 'pong') return;
  const message = JSON.parse(data);
  if (message.seq) last_seq = message.seq;
  console.log(message.event, message.data);
};
// at once, so that an end is noticed at once as well; then every 25 seconds
socket.onopen = () => socket.send('ping');
setInterval(() => socket.readyState === WebSocket.OPEN && socket.send('ping'), 25_000);`;

const CLIENT = `import { connectLive } from './client/index.ts';

const live = connectLive({
  url: 'https://melati.rukun.example',
  // asked at each connection, and before the token ends: one that is good for some minutes yet
  token: async () => {
    if (session.ends_at - Date.now() < 120_000) session = await refresh(session.refresh_token);
    return session.access_token;
  },
  // default: all that you may see
  events: ['customer:status', 'payment:created'],
  onMessage: message => console.log(message.event, message.data),
  onState: state => console.log(state.status),
});`;

const CLOSES: [number, string][] = [
  [1000, 'You closed it.'],
  [CLOSE.unsupported.code, 'You sent bytes; only text is taken.'],
  [1006, 'The connection broke, or the door refused you: a browser can’t tell which. Refresh the token and come back.'],
  [CLOSE.too_large.code, `You sent more than ${MOST_BYTES} characters at once.`],
  [CLOSE.failed.code, 'Something failed on our side. Come back with since.'],
  [1012, 'We started anew. Come back with since.'],
  [
    CLOSE.expired.code,
    'The token has ended, or its session was, or its user was deactivated, deleted, signed out everywhere, or given another role, password or second factor. Refresh, else sign in.',
  ],
  [CLOSE.suspended.code, 'The provider’s account isn’t active. Don’t come back by yourself.'],
  [
    CLOSE.too_many.code,
    `You sent more than ${COMMAND_LIMIT.most} messages in ${COMMAND_LIMIT.window_ms / 1000} seconds (bare pings don’t count).`,
  ],
];

type Listed = (typeof LIVE_EVENTS & typeof TRANSIENT_EVENTS)[keyof typeof LIVE_EVENTS | keyof typeof TRANSIENT_EVENTS];

const rolesOf = (needs: keyof typeof PERMISSIONS): string => {
  const roles = PERMISSIONS[needs] as readonly string[];
  return roles.length === ROLES.length ? 'every role' : roles.join(', ');
};

const describeEvent = (name: string, { summary, needs, example }: Listed, seq: number | null): Html => html`
  <h3 id="${name}">${name}</h3>
  <p>${summary} <span class="soft">Told to ${rolesOf(needs)} (<code>${needs}</code>).</span></p>
  ${show({ ...(seq !== null && { seq }), event: name, data: example, timestamp: '2026-12-03T02:15:00.000Z' })}
`;

const listEvents = (events: object, first_seq: number | null): Html[] =>
  Object.entries(events).map(([name, event], at) =>
    describeEvent(name, event as Listed, first_seq === null ? null : first_seq + at),
  );

const opening = html`
  <h1>Live events</h1>
  <p>
    <code>GET /api/v1/ws</code> opens a WebSocket that tells what happens, as it happens: each change is sent once it is
    stored, to everybody of the provider who may see it. The rest of the API is at <a href="/docs">/docs</a>; a page
    that is built on this is <a href="/live">/live</a>.
  </p>
  <h2>Sign in</h2>
  <p>
    With an access token of <code>POST /api/v1/auth/login</code> (which wants the provider’s name: by subdomain or
    <code>X-Tenant-ID</code>, and a <code>code</code> where there is a second factor): from a browser among the
    subprotocols, next to <code>rukun.v1</code>; elsewhere also as <code>Authorization: Bearer …</code>. The token names
    the provider.
  </p>
  ${block(BROWSER)}
  <p>The typed client does all that stands below by itself:</p>
  ${block(CLIENT)}
  <p>
    What the door refuses is answered as everywhere in the API: 400 for a query that doesn’t fit, 401 for a bad token,
    403 for another provider’s and for a user who must set up a second factor first, 429 with
    <code>Retry-After</code> for one who asks too often.
  </p>
`;

const messages = html`
  <h2>Messages</h2>
  <p>
    Each is a JSON object: <code>seq</code>, <code>event</code>, <code>data</code>, <code>timestamp</code>. In
    <code>data</code>: the <code>id</code> of what changed, its fields with their new values (of what is new: all that
    aren’t null), what they were under <code>previous</code>, and in <code>happened</code> the word of the audit log.
    Fields are those of the API; secrets never come. Names and amounts that you’d have to look up
    (<code>customer_name</code>, …) are as they are when the message is sent.
  </p>
  <h2>Come back</h2>
  <p>
    <code>seq</code> rises on each socket; gaps are what you may not see. Keep the last one, and come back with
    <code>?since=</code> it: all that you missed is sent first, in order, none of it twice, and what happens meanwhile
    follows behind. Before anything has come, <code>subscribe</code> tells where you stand. What a message makes you
    read anew from the API, read with the header <code>X-D1-Bookmark: first-primary</code>: a replica may be behind.
  </p>
  <p>
    Messages without a <code>seq</code> (<a href="#monitoring:update">monitoring:update</a>,
    <a href="#job:progress">job:progress</a>, answers) are told once, and never replayed.
  </p>
`;

const commands = html`
  <h2>What you can say</h2>
  <ul>
    <li>The bare word <code>ping</code> is answered by the bare word <code>pong</code>. Every 25 seconds is good.</li>
    <li>
      Only some events, from now on (an empty list: nothing; no list: all). <code>?events=a,b</code> does so at the
      door. ${show({ type: 'subscribe', events: ['customer:status', 'payment:created'] })}
      ${show({
        event: 'subscribed',
        data: { events: ['customer:status', 'payment:created'], seq: 1041 },
        timestamp: '2026-12-03T02:15:00.000Z',
      })}
    </li>
    <li>
      A fresh token of the same user, before the old one ends (15 minutes): the socket stays. It comes from
      <code>POST /api/v1/auth/refresh</code> with the <code>refresh_token</code>, which is spent then: keep the new one.
      A spent one that is used again ends the whole session. ${show({ type: 'auth', token: 'eyJhbGciOi…' })}
      ${show({
        event: 'authenticated',
        data: { expires_at: '2026-12-03T02:30:00.000Z' },
        timestamp: '2026-12-03T02:15:00.000Z',
      })}
    </li>
    <li>
      What isn’t understood, or refused, is said, and the socket stays.
      ${show({
        event: 'error',
        data: { code: 'VALIDATION_ERROR', message: 'The message is not JSON.' },
        timestamp: '2026-12-03T02:15:00.000Z',
      })}
    </li>
  </ul>
  <h2>How it ends</h2>
  <table>
    ${CLOSES.map(
      ([code, why]) =>
        html`<tr>
          <td><code>${code}</code></td>
          <td>${why}</td>
        </tr>`,
    )}
  </table>
  <p>
    Before 4401 you are told
    <code>{"event": "session:expired", "data": {}, "timestamp": "…"}</code>. Close the socket then: of one that never
    said anything the end may take some seconds to arrive.
  </p>
`;

export const GUIDE: HtmlPage = {
  lang: 'en',
  title: 'Rukun: live events',
  style: STYLE,
  body: html`<main>
    ${opening} ${messages} ${commands}
    <h2>Events</h2>
    ${listEvents(LIVE_EVENTS, 1042)}
    <h2>Events that are told once</h2>
    ${listEvents(TRANSIENT_EVENTS, null)}
  </main>`,
};
