import type { LiveMessageOf, LiveState } from '../../client/live.ts';
import { makeAlertsCard } from './cards/alerts.ts';
import { makeCustomersCard } from './cards/customers.ts';
import { makeEventsCard } from './cards/events.ts';
import { makeJobsCard } from './cards/jobs.ts';
import { makeMoneyCard } from './cards/money.ts';
import { makeRoutersCard } from './cards/routers.ts';
import { makeConnectionSign } from './connection.ts';
import { make, quote } from './dom.ts';
import type { FigureName, Shown } from './figures.ts';
import type { Language } from './language.ts';
import { makeLanguageButton } from './language-choice.ts';
import { makeLook, type Card, type Look } from './look.ts';
import type { LoggedMessage } from './sentences.ts';
import type { Session } from './session.ts';

/** The board as it looks in one language; it knows nothing of where its figures come from. */

export interface ViewOptions {
  session: Session;
  language: Language;
  /** Those that the user may see. */
  figures: readonly FigureName[];
  measured: ReadonlyMap<string, LiveMessageOf<'monitoring:update'>['data']>;
  onLanguage: () => void;
  onLogOut: () => void;
}

export interface View {
  node: HTMLElement;
  show<Name extends FigureName>(name: Name, value: Shown[Name]): void;
  showMessages(messages: readonly LoggedMessage[]): void;
  showState(state: LiveState): void;
  stop(): void;
}

const makeCards = (look: Look, measured: ViewOptions['measured']): { [Name in FigureName]: Card<Shown[Name]> } => ({
  customers: makeCustomersCard(look),
  money: makeMoneyCard(look),
  alerts: makeAlertsCard(look),
  routers: makeRoutersCard(look, measured),
  jobs: makeJobsCard(look),
});

export function makeView(options: ViewOptions): View {
  const { session, language, figures, measured, onLanguage, onLogOut } = options;
  const { tenant, user } = session;
  const look = makeLook(language, tenant);
  const { words, format } = look;
  const cards = makeCards(look, measured);
  const router_names = new Map<string, string>();
  const events = makeEventsCard(look, {
    router: id => router_names.get(id) ?? null,
    money: format.money,
  });
  const below = make('p', { class: 'below' }, quote(user.name));
  let has_figures = false;
  const sign = makeConnectionSign(words, is_live => {
    const is_behind = has_figures && !is_live;
    node.classList.toggle('is-behind', is_behind);
    below.replaceChildren(is_behind ? words.old_figures : quote(user.name));
  });
  const log_out = make('button', { type: 'button', class: 'plain' }, words.log_out);
  log_out.addEventListener('click', onLogOut);
  const header = make(
    'header',
    {},
    make('div', { class: 'who' }, make('h1', { tabindex: '-1' }, quote(tenant.name)), below),
    make('div', { class: 'tools' }, makeLanguageButton(language, onLanguage), log_out),
    sign.node,
  );
  const nodes = (names: FigureName[]) => figures.filter(name => names.includes(name)).map(name => cards[name].node);
  const side = make('div', { class: 'side' }, ...nodes(['alerts', 'routers', 'jobs']));
  const main = make('main', {}, ...nodes(['customers', 'money']), side, events.node);
  const node = make('div', { class: 'board' }, header, main);
  let messages: readonly LoggedMessage[] = [];
  setTitle(tenant.name, 0);
  return {
    node,
    show(name, value) {
      has_figures = true;
      cards[name].show(value);
      if (name === 'alerts') setTitle(tenant.name, (value as Shown['alerts']).open);
      if (name !== 'routers') return;
      for (const { id, name: called } of (value as Shown['routers']).rows) router_names.set(id, called);
      events.show(messages);
    },
    showMessages(now) {
      messages = now;
      events.show(now);
    },
    showState: sign.show,
    stop: sign.stop,
  };
}

function setTitle(name: string, alerts: number): void {
  document.title = alerts > 0 ? `(${alerts}) ${name} · Rukun` : `${name} · Rukun`;
}
