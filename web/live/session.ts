import type { Schemas } from '../../client/index.ts';
import { forget, recallObject, remember } from './storage.ts';
import { claimTab, tabId } from './tab.ts';

/** Who is signed in, and what they ask of the API. The session lives with the tab: a reload goes on with it. */

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
  /** How long to wait, where the API says so. */
  readonly retry_after_ms: number;

  constructor(status: number, error: ApiError = {}, retry_after_s = 0) {
    super(error.message ?? `The API answered ${status}.`);
    this.status = status;
    this.code = error.code ?? '';
    this.details = error.details ?? {};
    this.retry_after_ms = retry_after_s * 1000;
  }
}

/** No session any more, and why; `copied`: it is another tab's. */
export type EndReason = 'expired' | 'suspended' | 'copied' | 'second_factor';
export class SessionEnded extends Error {
  readonly reason: EndReason;

  constructor(reason: EndReason) {
    super(reason);
    this.reason = reason;
  }
}

const KEY = 'rukun.session';

/** A token with less than this is as good as none for whoever waits a minute; less where it lives shorter. */
const FRESH_MS = 90_000;

/** What has no answer by then is asked again, or given up. */
const ANSWER_MS = 15_000;

const send = (path: string, init: RequestInit): Promise<Response> =>
  fetch(`/api/v1${path}`, {
    ...init,
    cache: 'no-store',
    credentials: 'omit',
    redirect: 'error',
    signal: AbortSignal.timeout(ANSWER_MS),
  });

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
  const answer = await readJson<Partial<Good<T>> & { error?: ApiError }>(response);
  if (!response.ok) throw new Refused(response.status, answer?.error, Number(response.headers.get('retry-after')) || 0);
  // something on the way spoke for the API
  if (answer?.data === undefined) throw new Refused(502);
  return answer as Good<T>;
}

/** Null where it is something else; an answer that breaks off is none. */
async function readJson<T>(response: Response): Promise<T | null> {
  try {
    return (await response.json()) as T;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

/** As the tab keeps it; the access token too, since each use of the other one is a chance to lose its answer. */
interface Kept {
  tab_id: string;
  answer: Answer;
  fresh_until: number;
}

function freshUntil({ expires_in }: Answer): number {
  const lives_ms = expires_in * 1000;
  return Date.now() + lives_ms - Math.min(FRESH_MS, lives_ms / 3);
}

export class Session {
  #answer: Answer;
  #fresh_until: number;
  #renewal: Promise<void> | null = null;
  #is_forgotten = false;

  private constructor(answer: Answer, fresh_until = freshUntil(answer)) {
    this.#answer = answer;
    this.#fresh_until = fresh_until;
    this.#remember();
  }

  static async signIn(slug: string | null, credentials: Credentials): Promise<Session> {
    const headers: Record<string, string> = slug === null ? {} : { 'X-Tenant-ID': slug };
    return new Session(usable(await post<Answer>('/auth/login', credentials, headers)));
  }

  /** That of this tab, from before the page was loaded anew; null: there is none. */
  static async resume(): Promise<Session | null> {
    const { tab_id, answer, fresh_until = 0 } = recallObject<Kept>('tab', KEY) ?? {};
    if (tab_id === undefined || !answer) return null;
    if (!(await claimTab(tab_id))) throw new SessionEnded('copied');
    if (Date.now() < fresh_until) return new Session(answer, fresh_until);
    return new Session(await refresh(answer.refresh_token));
  }

  get user(): User {
    return this.#answer.user;
  }

  get tenant(): Tenant {
    return this.#answer.tenant;
  }

  #keep(answer: Answer): void {
    this.#answer = answer;
    this.#fresh_until = freshUntil(answer);
    this.#remember();
  }

  #remember(): void {
    // an answer may come after the end
    if (this.#is_forgotten) return;
    const kept: Kept = { tab_id: tabId(), answer: this.#answer, fresh_until: this.#fresh_until };
    remember('tab', KEY, JSON.stringify(kept));
  }

  /** The tab keeps it no longer, whatever is on its way. */
  forget(): void {
    this.#is_forgotten = true;
    forgetSession();
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
    this.forget();
    await this.#renewal?.catch(() => {});
    await post('/auth/logout', { refresh_token: this.#answer.refresh_token }).catch(() => {});
  }
}

export const forgetSession = (): void => forget('tab', KEY);

async function refresh(refresh_token: string): Promise<Answer> {
  try {
    return usable(await post<Answer>('/auth/refresh', { refresh_token }));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.status === 400 || error.status === 401) throw new SessionEnded('expired');
    if (error.status === 403) throw new SessionEnded('suspended');
    throw error;
  }
}

/** Where the role asks for a second factor, a session without one reads nothing. */
function usable(answer: Answer): Answer {
  if (answer.must_set_up_second_factor) throw new SessionEnded('second_factor');
  return answer;
}

async function isSuspended(response: Response): Promise<boolean> {
  const answer = await readJson<{ error?: ApiError }>(response);
  return answer?.error?.code === 'TENANT_SUSPENDED';
}
