import { connectLive, type Live, type LiveMessage, type LiveMessageOf, type LiveState } from '../../client/live.ts';
import { roleMay } from '../../src/auth/permissions.ts';
import { Figure } from './figure.ts';
import { FIGURE_NAMES, SOURCES, type FigureName, type Shown } from './figures.ts';
import { dayOf } from './format.ts';
import type { Language } from './language.ts';
import { recallPlace, rememberPlace } from './place.ts';
import type { LoggedMessage } from './sentences.ts';
import { Refused, SessionEnded, type EndReason, type Session } from './session.ts';
import { makeView, type View } from './view.ts';

/** What is known, and how it is kept true: the socket tells that something happened, the API says what is so now. */

export interface BoardOptions {
  session: Session;
  language: Language;
  /** Another view takes the place of the one before. */
  onView: (node: HTMLElement) => void;
  onLanguage: () => void;
  onLogOut: () => void;
  onEnd: (reason: EndReason) => void;
}

/** Not all that changes is told of: at times all is read anew. */
const REREAD_MS = 5 * 60_000;
const LOOK_AT_CLOCK_MS = 15_000;

const MOST_EVENTS = 50;

/** Many events at once are drawn once. */
const DRAW_MS = 50;

export class Board {
  readonly #options: BoardOptions;
  readonly #figures = new Map<FigureName, Figure<unknown>>();
  readonly #shown: Partial<Shown> = {};
  readonly #measured = new Map<string, LiveMessageOf<'monitoring:update'>['data']>();
  #messages: LoggedMessage[] = [];
  #state: LiveState = { status: 'connecting' };
  #view: View;
  #live: Live;
  #clock: ReturnType<typeof setInterval>;
  #drawing: ReturnType<typeof setTimeout> | undefined;
  #is_stopped = false;

  constructor(options: BoardOptions) {
    const { session, language } = options;
    this.#options = options;
    for (const name of FIGURE_NAMES) if (roleMay(session.user.role, SOURCES[name].needs)) this.#addFigure(name);
    this.#view = this.#makeView(language);
    this.#clock = this.#watchClock();
    this.#live = connectLive({
      url: location.origin,
      token: refused => this.#giveToken(refused),
      since: recallPlace(session.user.id),
      onMessage: message => this.#take(message),
      onState: state => this.#follow(state),
    });
  }

  setLanguage(language: Language): void {
    this.#view.stop();
    this.#view = this.#makeView(language);
  }

  stop(): void {
    this.#is_stopped = true;
    this.#live.close();
    this.#view.stop();
    for (const figure of this.#figures.values()) figure.stop();
    clearInterval(this.#clock);
    clearTimeout(this.#drawing);
  }

  #end(reason: EndReason): void {
    if (!this.#is_stopped) this.#options.onEnd(reason);
  }

  #addFigure<Name extends FigureName>(name: Name): void {
    const figure = new Figure<Shown[Name]>({
      read: () => SOURCES[name].read(this.#options.session),
      show: value => {
        this.#shown[name] = value;
        this.#view.show(name, value);
      },
      onFailure: error => this.#bearFailure(error),
    });
    this.#figures.set(name, figure as Figure<unknown>);
  }

  /** While the socket is down its return is what makes all be read anew. */
  #bearFailure(error: unknown): boolean {
    if (error instanceof SessionEnded) this.#end(error.reason);
    const is_forbidden = error instanceof Refused && error.status === 403;
    return this.#state.status === 'open' && !is_forbidden;
  }

  #makeView(language: Language): View {
    const { session, onView, onLanguage, onLogOut } = this.#options;
    const view = makeView({
      session,
      language,
      figures: [...this.#figures.keys()],
      measured: this.#measured,
      onLanguage,
      onLogOut,
    });
    view.showMessages(this.#messages);
    for (const name of this.#figures.keys()) {
      const value = this.#shown[name];
      if (value !== undefined) view.show(name, value);
    }

    view.showState(this.#state);
    onView(view.node);
    return view;
  }

  async #giveToken(refused: string | undefined): Promise<string> {
    try {
      return await this.#options.session.token(refused);
    } catch (error) {
      if (error instanceof SessionEnded) this.#end(error.reason);
      throw error;
    }
  }

  #follow(state: LiveState): void {
    if (this.#is_stopped) return;
    this.#state = state;
    this.#view.showState(state);
    if (state.status === 'open') for (const figure of this.#figures.values()) figure.readAnew();
    // where sockets don't get through, what they would wake is looked at as often as they are tried
    if (state.status === 'waiting' && navigator.onLine) this.#touchAll();
    if (state.status === 'closed') this.#end(state.reason === 'suspended' ? 'suspended' : 'expired');
  }

  #touchAll(): void {
    for (const figure of this.#figures.values()) figure.touch();
  }

  #take(message: LiveMessage): void {
    const entity = message.event.split(':')[0]!;
    for (const [name, figure] of this.#figures) if (SOURCES[name].woken_by.includes(entity)) figure.touch();
    if (message.event === 'monitoring:update') this.#measure(message);
    if (!('seq' in message)) return;
    this.#messages = [message, ...this.#messages].slice(0, MOST_EVENTS);
    this.#drawSoon();
  }

  #measure({ data }: LiveMessageOf<'monitoring:update'>): void {
    this.#measured.set(data.router_id, data);
    const { routers } = this.#shown;
    if (!routers) return;
    this.#view.show('routers', routers);
    const known = routers.rows.find(({ id }) => id === data.router_id);
    if (known?.status !== data.status) this.#figures.get('routers')?.touch();
  }

  #drawSoon(): void {
    this.#drawing ??= setTimeout(() => {
      this.#drawing = undefined;
      this.#view.showMessages(this.#messages);
      const oldest = this.#messages.at(-1)?.seq;
      if (oldest !== undefined) rememberPlace(this.#options.session.user.id, oldest - 1);
    }, DRAW_MS);
  }

  /** A new day of the provider's begins with nothing, and nobody tells. */
  #watchClock(): ReturnType<typeof setInterval> {
    const { timezone } = this.#options.session.tenant;
    let day = dayOf(Date.now(), timezone);
    let read_at = Date.now();
    return setInterval(() => {
      const today = dayOf(Date.now(), timezone);
      if (today === day && Date.now() - read_at < REREAD_MS) return;
      [day, read_at] = [today, Date.now()];
      this.#touchAll();
    }, LOOK_AT_CLOCK_MS);
  }
}
