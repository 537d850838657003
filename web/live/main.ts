import { isPassing } from '../../client/live-rules.ts';
import { retryDelay_ms } from '../../src/lib/retry.ts';
import { Board } from './board.ts';
import { make, unmarkFlashed } from './dom.ts';
import { otherLanguage } from './language.ts';
import { makeLanguageButton, pickLanguage, rememberLanguage } from './language-choice.ts';
import { forgetPlace } from './place.ts';
import { forgetSession, Session, SessionEnded } from './session.ts';
import { makeSignInForm, type SignInForm } from './sign-in.ts';
import { WORDS, type Words } from './words.ts';

/** The page: the sign-in form, or the board of whoever is signed in. */

const RETRY = { first_ms: 1000, most_ms: 30_000 };

const root = document.getElementById('app')!;
let language = pickLanguage();
let board: Board | null = null;
let form: SignInForm | null = null;
let notice: keyof Words['ended'] | null = null;

function switchLanguage(): void {
  language = otherLanguage(language);
  rememberLanguage(language);
  document.documentElement.lang = language;
  if (board) board.setLanguage(language);
  else if (form) showSignIn();
  // the button that was pressed is another one now
  root.querySelector<HTMLElement>('.language')?.focus();
}

function showSignIn(): void {
  const words = WORDS[language];
  document.title = `${words.title} · Rukun`;
  const ended = notice === null ? null : words.ended[notice];
  const switcher = makeLanguageButton(language, switchLanguage);
  form = makeSignInForm(language, {
    notice: ended,
    typed: form?.typed,
    onSession: session => showBoard(session, true),
    // the answer belongs to the form that asked
    onBusy: is_busy => (switcher.disabled = is_busy),
  });
  const foot = make('p', { class: 'foot' }, switcher);
  root.replaceChildren(make('main', { class: 'sheet' }, form.node, foot));
  form.focus();
}

function leave(why: keyof Words['ended']): void {
  board?.stop();
  board = null;
  if (why === 'logged_out') forgetPlace();
  notice = why;
  showSignIn();
}

function showBoard(session: Session, is_new: boolean): void {
  board?.stop();
  form = null;
  notice = null;
  board = new Board({
    session,
    language,
    onView: node => root.replaceChildren(node),
    onLanguage: switchLanguage,
    onLogOut: () => {
      void session.logOut();
      leave('logged_out');
    },
    onEnd: why => {
      session.forget();
      leave(why);
    },
  });
  if (is_new) root.querySelector('h1')?.focus();
}

/** That of the tab goes on; while the API is out of reach nobody is asked to sign in. */
async function resumeSession(): Promise<Session | null> {
  for (let tries = 1; ; tries++) {
    try {
      return await Session.resume();
    } catch (error) {
      if (!isPassing(error)) {
        forgetSession();
        notice = error instanceof SessionEnded ? error.reason : 'expired';
        return null;
      }
      await new Promise(resolve => setTimeout(resolve, retryDelay_ms(tries, Math.random(), RETRY)));
    }
  }
}

async function start(): Promise<void> {
  document.documentElement.lang = language;
  unmarkFlashed(root);
  root.replaceChildren(make('p', { class: 'sheet', role: 'status' }, WORDS[language].resuming));
  const session = await resumeSession();
  if (session) showBoard(session, false);
  else showSignIn();
}

void start();
