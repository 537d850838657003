import createClient, { type Client } from 'openapi-fetch';
import type { components, paths } from './generated/schema.ts';

/** Rukun's typed client: paths, bodies and answers are those of /openapi.json (`npm run client` makes the types). */

export * from './live.ts';

export type RukunClient = Client<paths>;
export type Schemas = components['schemas'];

export interface ClientOptions {
  /** `https://melati.rukun.example`, or any host of the API together with `tenant`. */
  url: string;
  /** Id or slug; needed where neither the host nor a token names the provider. */
  tenant?: string;
  access_token?: string;
  /** How long a request that came too often (429) may wait for its turn, as `Retry-After` tells it; 0: it is refused. */
  patience_ms?: number;
}

export function createRukunClient({ url, tenant, access_token, patience_ms = 0 }: ClientOptions): RukunClient {
  return createClient<paths>({
    baseUrl: url,
    fetch: request => fetchInTurn(request, patience_ms),
    headers: {
      ...(tenant && { 'X-Tenant-ID': tenant }),
      ...(access_token && { Authorization: `Bearer ${access_token}` }),
    },
  });
}

/** What was refused for coming too often has done nothing: it may be sent again. */
async function fetchInTurn(request: Request, patience_ms: number): Promise<Response> {
  for (let left_ms = patience_ms; ;) {
    const response = await fetch(request.clone());
    const wait_ms = Number(response.headers.get('Retry-After')) * 1000;
    if (response.status !== 429 || !(wait_ms > 0) || wait_ms > left_ms) return response;
    left_ms -= wait_ms;
    await response.body?.cancel();
    await new Promise(resolve => setTimeout(resolve, wait_ms));
  }
}

/** Signs in; gives a client that acts as that user until the token ends (15 minutes), and the session. */
export async function signIn(options: ClientOptions, credentials: Schemas['Credentials']) {
  const client = createRukunClient(options);
  const session = unwrap(await client.POST('/api/v1/auth/login', { body: credentials }));
  return { session, client: createRukunClient({ ...options, access_token: session.access_token }) };
}

interface Result<T> {
  data?: { success: true; data: T };
  error?: { error?: { code: string; message: string; details?: Record<string, string[]> } };
  response: Response;
}

/** The data of a good answer; anything else is thrown with the API's own words. */
export function unwrap<T>({ data, error, response }: Result<T>): T {
  if (data) return data.data;
  const said = error?.error;
  const details = said?.details ? ` ${JSON.stringify(said.details)}` : '';
  throw new Error(`${response.status} ${said?.code ?? ''}: ${said?.message ?? response.statusText}${details}`);
}
