import { createRukunClient, unwrap, type RukunClient, type Schemas } from '../client/index.ts';
import { StartError, type DemoFile } from './demo-files.ts';
import { DEMO_TENANT } from './demo-isp.ts';

/** The way into the demo ISP: it is signed up once; whom it no longer lets in is told why. */

export interface Entry {
  /** Null: nobody is let in who may do what the demo does. */
  client: RukunClient | null;
  /** Why. */
  refusal: string | null;
  /** Signed up just now. */
  is_new: boolean;
}

/** The demo keeps within the limits that hold for everybody: what comes too early waits. */
const PATIENCE_MS = 180_000;

/** `onNew` is called before the ISP is signed up. */
export async function enterDemo(demo: DemoFile, onNew: () => void): Promise<Entry> {
  const known = await trySignIn(demo);
  if (known.status !== 404) return { ...known.entry, is_new: false };
  onNew();
  const sign_up = { ...DEMO_TENANT, admin_password: demo.password };
  const { error } = await reach(demo, createRukunClient({ url: demo.url }).POST('/api/v1/tenants', { body: sign_up }));
  if (error) throw new StartError(`the demo ISP could not be signed up: ${describe(error)}`);
  const { entry } = await trySignIn(demo);
  if (!entry.client) throw new StartError(`the demo ISP was signed up, and ${entry.refusal}`);
  return { ...entry, is_new: true };
}

type Refusal = { error: { code: string; message: string; details?: Record<string, string[]> } };

const describe = ({ error }: Refusal) => `${error.code}: ${error.message}`;

async function trySignIn(demo: DemoFile): Promise<{ status: number; entry: Omit<Entry, 'is_new'> }> {
  const { url, tenant, email, password } = demo;
  const options = { url, tenant, patience_ms: PATIENCE_MS };
  const signing_in = createRukunClient(options).POST('/api/v1/auth/login', { body: { email, password } });
  const answer = await reach(demo, signing_in);
  const { status } = answer.response;
  if (answer.error) {
    // of a server's own faults nothing is known that could be passed by
    if (status >= 500) unwrap(answer);
    return { status, entry: { client: null, refusal: explain(demo, status, answer.error) } };
  }
  const session = unwrap(answer);
  const refusal = findHindrance(session);
  const client = refusal === null ? createRukunClient({ ...options, access_token: session.access_token }) : null;
  return { status, entry: { client, refusal } };
}

async function reach<T>({ url }: DemoFile, asking: Promise<T>): Promise<T> {
  try {
    return await asking;
  } catch (error) {
    const { cause } = error as Error;
    throw new StartError(`${url} does not answer: ${cause instanceof Error ? cause.message : String(error)}`);
  }
}

/** A user who is deactivated is refused as a wrong password is. */
function explain({ email }: DemoFile, status: number, refusal: Refusal): string {
  if (status !== 401) return `${email} can’t sign in (${describe(refusal)})`;
  if (refusal.error.details?.code) return `${email} needs a code of the second factor to sign in`;
  return `the password in demo.json is no longer right for ${email}, or that user is deactivated`;
}

function findHindrance({ user, must_set_up_second_factor }: Schemas['Session']): string | null {
  if (must_set_up_second_factor) return `${user.email} must set up a second factor first`;
  return user.role === 'admin' ? null : `${user.email} is no admin any more`;
}
