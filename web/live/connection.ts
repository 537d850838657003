import type { LiveState } from '../../client/live.ts';
import { make } from './dom.ts';
import type { Words } from './words.ts';

/** The word in the header that says whether what is shown is of now. */

export interface ConnectionSign {
  node: HTMLElement;
  show(state: LiveState): void;
  stop(): void;
}

export function makeConnectionSign(words: Words, onChange: (is_live: boolean) => void): ConnectionSign {
  // the state is read out as it changes; the seconds that pass are not
  const word = make('span', { role: 'status', class: 'word' });
  const rest = make('span', { class: 'rest', 'aria-hidden': 'true' });
  const node = make('p', { class: 'connection' }, word, rest);
  let state: LiveState = { status: 'connecting' };
  /** Until it stands again, no try is worth another word. */
  let is_lost = false;
  let retry_at = 0;
  let timer: ReturnType<typeof setInterval> | undefined;

  function draw(): void {
    const is_offline = state.status !== 'open' && !navigator.onLine;
    const kind = is_offline ? 'offline' : is_lost ? 'waiting' : state.status === 'open' ? 'open' : 'connecting';
    const text = kind === 'open' ? words.live : words[kind];
    if (word.textContent !== text) word.textContent = text;
    node.dataset.state = kind;
    const seconds = Math.max(1, Math.ceil((retry_at - performance.now()) / 1000));
    rest.textContent = !is_offline && state.status === 'waiting' ? ` ${words.in_seconds(seconds)}` : '';
    onChange(state.status === 'open');
  }

  const listeners = ['online', 'offline'];
  for (const type of listeners) addEventListener(type, draw);
  return {
    node,
    show(next) {
      state = next;
      is_lost = next.status === 'connecting' ? is_lost : next.status !== 'open';
      clearInterval(timer);
      if (next.status === 'waiting') {
        retry_at = performance.now() + next.retry_in_ms;
        timer = setInterval(draw, 1000);
      }
      draw();
    },
    stop() {
      clearInterval(timer);
      for (const type of listeners) removeEventListener(type, draw);
    },
  };
}
