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
}

export function createRukunClient({ url, tenant, access_token }: ClientOptions): RukunClient {
  return createClient<paths>({
    baseUrl: url,
    headers: {
      ...(tenant && { 'X-Tenant-ID': tenant }),
      ...(access_token && { Authorization: `Bearer ${access_token}` }),
    },
  });
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
