import { env } from 'cloudflare:test';
import { expect, vi } from 'vitest';
import { forgetTenants } from '../../src/tenancy/directory.ts';
import { consume } from './queues.ts';
import { type Answer, type CallOptions, mintToken, TestTenant, type TestUser } from './world.ts';

/** An ISP whose clock tests move, and the calendar that its people see: told by the platform, not by the code under test. */

export const DAY_MS = 24 * 60 * 60_000;
export const HOUR_MS = 60 * 60_000;

/** Where whole hours, half ones, quarters, changing clocks and the date line are. */
export const ZONES = [
  'Asia/Jakarta',
  'Asia/Makassar',
  'Asia/Jayapura',
  'Asia/Kathmandu',
  'Asia/Kolkata',
  'America/New_York',
  'Pacific/Apia',
] as const;

const calendars = new Map<string, Intl.DateTimeFormat>();

/** `2026-11-20`: what day it is there. */
export function dateThere(now: number, zone: string): string {
  let calendar = calendars.get(zone);
  if (!calendar) calendars.set(zone, (calendar = new Intl.DateTimeFormat('sv-SE', { timeZone: zone })));
  return calendar.format(now);
}

/** The first millisecond of that day there: looked for on the calendar, so that no offset has to be known. */
export function dawnOf(date: string, zone: string): number {
  const noon = Date.parse(`${date}T12:00:00Z`);
  let [before, from] = [noon - 2 * DAY_MS, noon + 2 * DAY_MS];
  while (from - before > 1) {
    const middle = Math.floor((before + from) / 2);
    if (dateThere(middle, zone) < date) before = middle;
    else from = middle;
  }
  return from;
}

const dayNumber = (date: string): number => Date.parse(`${date}T00:00:00Z`) / DAY_MS;
export const daysBetween = (from: string, to: string): number => dayNumber(to) - dayNumber(from);
export const plusDays = (date: string, days: number): string =>
  new Date((dayNumber(date) + days) * DAY_MS).toISOString().slice(0, 10);

/** Only the date is held: whoever waits, waits in real time. */
export const holdClock = (now: number | string) =>
  vi.useFakeTimers({ toFake: ['Date'], now: typeof now === 'string' ? Date.parse(now) : now });

const TOKEN_SERVES_MS = 10 * 60_000;

export class TimedTenant extends TestTenant {
  #zone: string;
  readonly #tokens = new Map<string, { token: string; minted_ms: number }>();
  #database: D1Database | null = null;

  constructor(id: string, slug: string, admin: TestUser, zone: string) {
    super(id, slug, admin);
    this.#zone = zone;
  }

  /** The clock must be held; it may not go back behind this moment. */
  static async open(timezone = 'Asia/Jakarta'): Promise<TimedTenant> {
    const { id, slug, admin } = await TestTenant.signUp({ timezone });
    return new TimedTenant(id, slug, admin, timezone);
  }

  get zone(): string {
    return this.#zone;
  }

  get today(): string {
    return dateThere(Date.now(), this.#zone);
  }

  /** A token lasts fifteen minutes, and the clock of these tests jumps. */
  async tokenOf(user: TestUser): Promise<string> {
    const known = this.#tokens.get(user.id);
    const age_ms = Date.now() - (known?.minted_ms ?? 0);
    if (known && age_ms >= 0 && age_ms < TOKEN_SERVES_MS) return known.token;
    const token = await mintToken(this.id, user.id, user.role);
    this.#tokens.set(user.id, { token, minted_ms: Date.now() });
    return token;
  }

  override async call(method: string, path: string, options: CallOptions = {}): Promise<Answer> {
    return super.call(method, path, { token: await this.tokenOf(this.admin), ...options });
  }

  async callAs(user: TestUser, method: string, path: string, options: CallOptions = {}): Promise<Answer> {
    return this.call(method, path, { token: await this.tokenOf(user), ...options });
  }

  override async database(): Promise<D1Database> {
    return (this.#database ??= await super.database());
  }

  async rows<T = any>(sql: string, ...values: unknown[]): Promise<T[]> {
    const d1 = await this.database();
    return (await d1.prepare(sql).bind(...values).all<T>()).results; // prettier-ignore
  }

  /** Its people move: nothing but the zone changes. */
  async moveTo(zone: string): Promise<void> {
    const move = env.DIRECTORY_DB.prepare('UPDATE tenants SET timezone = ? WHERE id = ?');
    await move.bind(zone, this.id).run();
    forgetTenants();
    this.#zone = zone;
  }

  /** Some moment of that day there; `at` is the part of the day that is gone. */
  setDay(date: string, at = 0.4): void {
    const [from, until] = [dawnOf(date, this.#zone), dawnOf(plusDays(date, 1), this.#zone)];
    vi.setSystemTime(Math.min(until - 1, Math.floor(from + (until - from) * at)));
  }

  /** The daily job, as the queue has it done. */
  async runDailyJob(): Promise<void> {
    expect(await consume('rukun-jobs', [{ tenant_id: this.id, kind: 'daily' }])).toEqual(['ack']);
  }

  /** A job of the tenant's own, until it is over. */
  async finishJob(id: string): Promise<any> {
    const isOver = ({ status }: { status: string }) => status !== 'queued' && status !== 'running';
    for (let pause_ms = 1; ; pause_ms = Math.min(50, pause_ms * 2)) {
      const job = await this.get(`/jobs/${id}`);
      if (isOver(job)) return job;
      await new Promise(resolve => setTimeout(resolve, pause_ms));
    }
  }
}
