import { make } from './dom.ts';
import type { Language } from './language.ts';
import { slugOfHost } from './provider.ts';
import { Refused, Session, SessionEnded } from './session.ts';
import { recall, remember } from './storage.ts';
import { WORDS, type Words } from './words.ts';

/** The form that one signs in with. */

const SLUG_KEY = 'rukun.provider';

interface Typed {
  slug: string;
  email: string;
}

export interface SignInForm {
  node: HTMLElement;
  /** What was typed so far: another language takes nothing away. Never the password. */
  readonly typed: Typed;
  focus(): void;
}

interface SignInOptions {
  notice: string | null;
  typed?: Typed;
  onSession: (session: Session) => void;
  onBusy: (is_busy: boolean) => void;
}

/** The API asked for the provider's name, though the host looked as if it said it. */
let is_slug_asked_for = false;

/** What is typed in. The code is asked for once the API says that there is a second factor. */
function makeFields(words: Words, typed: Typed | undefined) {
  const slug = input('provider', {
    type: 'text',
    maxlength: '63',
    autocapitalize: 'none',
    autocomplete: 'organization',
  });
  const email = input('email', { type: 'email', maxlength: '254', autocomplete: 'username' });
  const password = input('password', { type: 'password', maxlength: '200', autocomplete: 'current-password' });
  const code = input('code', { inputmode: 'numeric', maxlength: '19', autocomplete: 'one-time-code' });
  slug.value = typed?.slug ?? recall('browser', SLUG_KEY) ?? '';
  email.value = typed?.email ?? '';
  const slug_field = field(words.provider, slug, words.provider_hint);
  const code_field = field(words.code, code, words.code_hint);
  const forgetCode = () => {
    code_field.hidden = true;
    code.value = '';
  };
  // whether somebody else has a second factor isn't known yet
  for (const each of [slug, email]) each.addEventListener('input', forgetCode);
  forgetCode();
  return { slug, email, password, code, slug_field, code_field };
}

const typedCode = (field: HTMLElement, code: HTMLInputElement) => (field.hidden ? {} : { code: code.value.trim() });

export function makeSignInForm(language: Language, { notice, typed, onSession, onBusy }: SignInOptions): SignInForm {
  const words = WORDS[language];
  const host_slug = slugOfHost(location.hostname);
  const { slug, email, password, code, slug_field, code_field } = makeFields(words, typed);
  const problem = make('p', { class: 'problem', role: 'alert' });
  const button = make('button', { type: 'submit' }, words.sign_in);
  const form = make(
    'form',
    { class: 'card sign-in', novalidate: '', 'aria-labelledby': 'sign-in' },
    make('h1', { id: 'sign-in' }, words.title),
    make('p', { class: 'why' }, words.sign_in_why),
    notice === null ? null : make('p', { class: 'notice', role: 'status' }, notice),
    slug_field,
    field(words.email, email),
    field(words.password, password),
    code_field,
    problem,
    button,
  );
  const names_provider = () => host_slug !== null && !is_slug_asked_for;
  slug_field.hidden = names_provider();

  async function submit(): Promise<void> {
    const name = names_provider() ? null : slug.value.trim().toLowerCase();
    problem.textContent = '';
    if (name === '') return complain(words.provider_needed, slug);
    if (email.value.trim() === '') return complain(words.email_needed, email);
    if (password.value === '') return complain(words.password_needed, password);
    if (!code_field.hidden && code.value.trim() === '') return complain(words.code_needed, code);
    setBusy(true);
    const credentials = { email: email.value.trim(), password: password.value, ...typedCode(code_field, code) };
    const result = await Session.signIn(name, credentials).catch((error: unknown) => ({ error }));
    setBusy(false);
    if ('error' in result) return explain(result.error, name);
    if (name !== null) remember('browser', SLUG_KEY, name);
    onSession(result);
  }

  function setBusy(is_busy: boolean): void {
    button.disabled = is_busy;
    button.textContent = is_busy ? words.signing_in : words.sign_in;
    onBusy(is_busy);
  }

  function explain(error: unknown, name: string | null): void {
    if (error instanceof Refused && 'X-Tenant-ID' in error.details) {
      is_slug_asked_for = true;
      slug_field.hidden = false;
      return complain(words.provider_needed, slug);
    }
    if (error instanceof SessionEnded) return complain(words.ended[error.reason], email);
    if (error instanceof Refused && 'code' in error.details) {
      const is_wrong = !code_field.hidden;
      code_field.hidden = false;
      return complain(is_wrong ? words.code_wrong : words.code_needed, code);
    }
    complain(describeFailure(error, words, name ?? host_slug ?? ''), password);
  }

  function complain(text: string, about: HTMLInputElement): void {
    problem.textContent = text;
    about.focus();
    about.select();
  }

  form.addEventListener('submit', event => {
    event.preventDefault();
    if (!button.disabled) void submit();
  });
  return {
    node: form,
    get typed() {
      return { slug: slug.value, email: email.value };
    },
    focus: () => [slug, email, password].find(({ value, parentElement }) => !value && !parentElement!.hidden)?.focus(),
  };
}

const input = (name: string, attributes: Record<string, string>): HTMLInputElement =>
  make('input', { id: name, name, required: '', spellcheck: 'false', ...attributes });

function field(label: string, control: HTMLInputElement, hint?: string): HTMLElement {
  const hint_id = `${control.id}-hint`;
  if (hint !== undefined) control.setAttribute('aria-describedby', hint_id);
  return make(
    'div',
    { class: 'field' },
    make('label', { for: control.id }, label),
    hint === undefined ? null : make('span', { class: 'hint', id: hint_id }, hint),
    control,
  );
}

function describeFailure(error: unknown, words: Words, slug: string): string {
  if (!(error instanceof Refused)) return words.no_network;
  if (error.code === 'TENANT_SUSPENDED') return words.not_active;
  if (error.status === 404 || error.code === 'TENANT_MISMATCH') return words.no_provider(slug);
  if (error.status === 400 || error.status === 401) return words.wrong_credentials;
  if (error.status === 429) return words.too_many;
  return words.failed;
}
