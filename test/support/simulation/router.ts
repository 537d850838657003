import { expect } from 'vitest';
import type { TestRouterAccess } from '../network.ts';
import { NO_FAULTS, type Faults, type RouterRow } from '../network-world.ts';
import type { StrangerMenu, Trouble } from './steps.ts';

/** One simulated router, as somebody with its console and its power switch has it. */

/** Menus that are emptied between schedules: what leans on others before what it leans on. */
export const MENUS = ['/ip/firewall/address-list', '/queue/simple', '/ppp/secret', '/ppp/profile', '/ip/pool'] as const;

const MARK = /(?:^|\s)(rukun:\S+)$/;

/** Ours by its mark; read here anew, so that a mistake in the code under test isn't repeated. */
export const markOf = (row: RouterRow): string | null => MARK.exec(row.comment ?? '')?.[1] ?? null;
export const textOf = (row: RouterRow): string => (row.comment ?? '').replace(MARK, '').trim();

/** The router's own notes on an entry. */
const VOLATILE: ReadonlySet<string> = new Set(['last-logged-out', 'last-caller-id', 'last-disconnect-reason', 'bytes', 'packets', 'rate', 'packet-rate', 'queued-bytes', 'queued-packets', 'dropped', 'total-bytes', 'total-packets', 'total-rate', 'total-packet-rate', 'total-queued-bytes', 'total-queued-packets', 'total-dropped', 'used', 'creation-time']); // prettier-ignore
const configOf = (row: RouterRow): RouterRow =>
  Object.fromEntries(Object.entries(row).filter(([property]) => !VOLATILE.has(property)));

const TROUBLES: Record<Trouble, Faults> = {
  refuses: { refuse: true },
  'is silent': { silent_after_accept: true },
  'cuts after a write': { close_after_write: 1 },
  'cuts after two writes': { close_after_write: 2 },
  // to who is connected it answers until then
  'is gone after a write': { close_after_write: 1, refuse: true },
  'is slow': { delay_ms: 15 },
  'answers in crumbs': { chunk_bytes: 1 },
  'hides passwords': { no_sensitive: true },
  'lets nobody write': { read_only_user: true },
  'is well': NO_FAULTS,
};

/** `a"b\c$d` between quotes. */
const quote = (value: string): string => `"${value.replace(/["\\$?]/g, found => `\\${found}`)}"`;

export class Router {
  readonly #url: string;
  readonly access: TestRouterAccess;

  constructor(access: TestRouterAccess) {
    this.access = access;
    this.#url = access.control_url;
  }

  async #call(method: 'GET' | 'POST', path: string, body?: unknown): Promise<Response> {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    return fetch(`${this.#url}${path}`, { method, body: body === undefined ? undefined : text });
  }

  async #must(method: 'GET' | 'POST', path: string, body?: unknown): Promise<Response> {
    const response = await this.#call(method, path, body);
    if (!response.ok) expect.fail(`${method} ${path}: ${await response.text()}`);
    return response;
  }

  async readAll(menu: string): Promise<RouterRow[]> {
    return (await this.#must('GET', `/rows?menu=${encodeURIComponent(menu)}`)).json();
  }

  /** What somebody configured: without dynamic rows, and without what the router notes of them. */
  async read(menu: string): Promise<RouterRow[]> {
    return (await this.readAll(menu)).filter(row => row.dynamic !== 'true').map(configOf);
  }

  async readOurs(menu: string): Promise<RouterRow[]> {
    return (await this.read(menu)).filter(row => markOf(row) !== null);
  }

  /** What isn't marked as ours, by menu and id; without the router's own two profiles. */
  async readStrangers(): Promise<Map<string, { menu: StrangerMenu; row: RouterRow }>> {
    const menus = await Promise.all(MENUS.map(async menu => ({ menu, rows: await this.read(menu) })));
    const all = menus.flatMap(({ menu, rows }) => rows.map(row => ({ menu, row })));
    const strangers = all.filter(({ row }) => markOf(row) === null && !row.name?.startsWith('default'));
    return new Map(strangers.map(each => [`${each.menu} ${each.row['.id']}`, each]));
  }

  async #run(menu: string, command: string): Promise<void> {
    const rsc = `${menu.replace('/', '').replaceAll('/', ' ')}\n${command}\n`;
    const { problems } = (await (await this.#must('POST', '/load', `/${rsc}`)).json()) as { problems: unknown[] };
    expect(problems, `by hand: ${rsc}`).toEqual([]);
  }

  add(menu: string, props: RouterRow): Promise<void> {
    return this.#run(menu, `add ${writeProps(props)}`);
  }

  set(menu: string, id: string, props: RouterRow): Promise<void> {
    return this.#run(menu, `set ${id} ${writeProps(props)}`);
  }

  remove(menu: string, id: string): Promise<void> {
    return this.#run(menu, `remove ${id}`);
  }

  /** False when the router doesn't let the subscriber in. */
  async dialIn(name: string): Promise<boolean> {
    return (await this.#call('POST', '/dial', { name })).ok;
  }

  hangUp = (name: string) => this.#must('POST', '/hang-up', { name });
  dropConnections = () => this.#must('POST', '/drop-connections', {});
  reboot = () => this.#must('POST', '/reboot', { down_ms: 0 });

  /** Who is connected loses the line where the router is away. */
  async trouble(trouble: Trouble): Promise<void> {
    await this.#must('POST', '/faults', TROUBLES[trouble]);
    if (trouble === 'refuses' || trouble === 'is silent') await this.dropConnections();
  }

  async empty(): Promise<void> {
    await this.trouble('is well');
    await this.reboot();
    for (const menu of MENUS) {
      const rows = (await this.readAll(menu)).filter(row => row.dynamic !== 'true' && !row.name?.startsWith('default'));
      if (rows.length > 0) await this.#run(menu, rows.map(row => `remove ${row['.id']}`).join('\n'));
    }
  }
}

const writeProps = (props: RouterRow): string =>
  Object.entries(props)
    .map(([property, value]) => `${property}=${quote(value)}`)
    .join(' ');
