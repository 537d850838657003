import { card, flash, make, quoteNames, setChildren } from '../dom.ts';
import type { Card, Look } from '../look.ts';
import { tell, type Known, type LoggedMessage } from '../sentences.ts';

/** The newest on top. A line that is there stays; what it says may become known better. */
export function makeEventsCard({ words, format, language }: Look, known: Known): Card<readonly LoggedMessage[]> {
  const list = make('ol', { class: 'events', 'aria-live': 'off' });
  const none = make('p', { class: 'foot' }, words.no_events);
  const rows = new Map<LoggedMessage, HTMLElement>();
  let is_first = true;

  function makeRow({ timestamp }: LoggedMessage): HTMLElement {
    const row = make('li', {}, make('time', { datetime: timestamp }, format.time(timestamp)), make('span'));
    if (!is_first) flash(row);
    return row;
  }

  return {
    node: card('stream', words.events, list, none),
    show(messages) {
      const shown = messages.map(message => {
        const sentence = tell(message, language, known);
        const row = rows.get(message) ?? makeRow(message);
        rows.set(message, row);
        row.dataset.tone = sentence.tone;
        row.lastElementChild!.replaceChildren(...quoteNames(sentence.text));
        return row;
      });
      const kept = new Set(messages);
      for (const message of rows.keys()) if (!kept.has(message)) rows.delete(message);
      setChildren(list, shown);
      none.hidden = shown.length > 0;
      // the first that are told had happened before
      if (messages.length > 0) is_first = false;
    },
  };
}
