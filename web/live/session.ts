import type { Schemas } from '../../client/index.ts';

/** Who is signed in, and what they ask of the API. The access token stays in memory; the other one lives with the tab. */

export type Credentials = Schemas['Credentials'];
type Answer = Schemas['Session'];
export type User = Answer['user'];
export type Tenant = Answer['tenant'];

interface ApiError {
  code?: string;
  message?: string;
  details?: Record<string, string[]>;
}

/** What the API refused, and in which words. */
export class Refused extends Error {
  readonly status: number;
  readonly code: string;
  readonly details: Record<string, string[]>;

  constructor(status: number, error: ApiError = {}) {
    super(error.message ?? `The API answered ${status}.`);
    this.status = status;
    this.code = error.code ?? '';
    this.details = error.details ?? {};
  }
}

/** No session any more, and why. */
export type EndReason = 'expired' | 'suspended';
export class SessionEnded extends Error {
  readonly reason: EndReason;

  constructor(reason: EndReason) {
    super(reason);
    this.reason = reason;
  }
}

const KEY = 'rukun.refresh_token';

/** A token with less than this is as good as none for whoever waits a minute; less where it lives shorter. */
const FRESH_MS = 90_000;

const send = (path: string, init: RequestInit): Promise<Response> =>
  fetch(`/api/v1${path}`, { ...init, cache: 'no-store', credentials: 'omit', redirect: 'error' });

async function post<T>(path: string, body: unknown, headers: Record<string, string> = {}): Promise<T> {
  const response = await send(path, {
    method: 'POST',
    body: JSON.stringify(body),
    headers: { 'Content-Type': 'application/json', ...headers },
  });
  return (await readAnswer<T>(response)).data;
}

interface Good<T> {
  data: T;
  meta?: { total: number };
}

async function readAnswer<T>(response: Response): Promise<Good<T>> {
  const answer = (await response.json().catch(() => null)) as (Partial<Good<T>> & { error?: ApiError }) | null;
  if (!response.ok || answer?.data === undefined) throw new Refused(response.status, answer?.error);
  return answer as Good<T>;
}

export class Session {
  #answer: Answer;
  #fresh_until = 0;
  #renewal: Promise<void> | null = null;

  private constructor(answer: Answer) {
    this.#answer = answer;
    this.#keep(answer);
  }

  static async signIn(slug: string | null, credentials: Credentials): Promise<Session> {
    const headers: Record<string, string> = slug === null ? {} : { 'X-Tenant-ID': slug };
    return new Session(await post<Answer>('/auth/login', credentials, headers));
  }

  /** That of this tab, from before the page was loaded anew; null: there is none. */
  static async resume(): Promise<Session | null> {
    const refresh_token = sessionStorage.getItem(KEY);
    return refresh_token === null ? null : new Session(await refresh(refresh_token));
  }

  get user(): User {
    return this.#answer.user;
  }

  get tenant(): Tenant {
    return this.#answer.tenant;
  }

  #keep(answer: Answer): void {
    this.#answer = answer;
    const lives_ms = answer.expires_in * 1000;
    this.#fresh_until = Date.now() + lives_ms - Math.min(FRESH_MS, lives_ms / 3);
    sessionStorage.setItem(KEY, answer.refresh_token);
  }

  /** A token that is good for some time yet, and isn't the one that was refused. */
  async token(refused?: string): Promise<string> {
    if (refused === this.#answer.access_token || Date.now() >= this.#fresh_until) await this.#renew();
    return this.#answer.access_token;
  }

  /** Once for all who wait: a refresh token that is used twice ends everything that came from it. */
  #renew(): Promise<void> {
    this.#renewal ??= refresh(this.#answer.refresh_token)
      .then(answer => this.#keep(answer))
      .finally(() => (this.#renewal = null));
    return this.#renewal;
  }

  async get<T>(path: string): Promise<T> {
    return (await this.#read<T>(path)).data;
  }

  async list<T>(path: string): Promise<{ rows: T[]; total: number }> {
    const { data, meta } = await this.#read<T[]>(path);
    return { rows: data, total: meta?.total ?? data.length };
  }

  async #read<T>(path: string): Promise<Good<T>> {
    const token = await this.token();
    const response = await this.#ask(path, token);
    if (response.status !== 401) return readAnswer<T>(response);
    const again = await this.#ask(path, await this.token(token));
    if (again.status === 401) throw new SessionEnded('expired');
    return readAnswer<T>(again);
  }

  async #ask(path: string, token: string): Promise<Response> {
    // what is read because something happened must have that in it: no replica that is behind
    const headers = { Authorization: `Bearer ${token}`, 'X-D1-Bookmark': 'first-primary' };
    const response = await send(path, { headers });
    if (response.status === 403 && (await isSuspended(response.clone()))) throw new SessionEnded('suspended');
    return response;
  }

  /** The tab forgets it at once, whatever the API says. */
  async logOut(): Promise<void> {
    await this.#renewal?.catch(() => {});
    forgetSession();
    await post('/auth/logout', { refresh_token: this.#answer.refresh_token }).catch(() => {});
  }
}

export const forgetSession = (): void => sessionStorage.removeItem(KEY);

async function refresh(refresh_token: string): Promise<Answer> {
  try {
    return await post<Answer>('/auth/refresh', { refresh_token });
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.status === 400 || error.status === 401) throw new SessionEnded('expired');
    if (error.status === 403) throw new SessionEnded('suspended');
    throw error;
  }
}

async function isSuspended(response: Response): Promise<boolean> {
  const answer = (await response.json().catch(() => null)) as { error?: ApiError } | null;
  return answer?.error?.code === 'TENANT_SUSPENDED';
}
