import { card, make, setFigure } from '../dom.ts';
import type { Shown } from '../figures.ts';
import type { Card, Look } from '../look.ts';

/** How many alerts nobody looks after yet; and those that somebody does, so that quiet isn't taken for well. */
export function makeAlertsCard({ words, format }: Look): Card<Shown['alerts']> {
  const figure = make('dd', { 'data-figure': 'alerts' });
  const label = make('dt');
  const list = make('dl', {}, make('div', { class: 'count' }, label, figure));
  const handled = make('p', { class: 'foot', hidden: '' });
  const node = card('alerts', words.alerts, list, handled);
  return {
    node,
    show({ open, acknowledged }) {
      setFigure(figure, format.count(open));
      label.textContent = open > 0 ? words.alerts_open : acknowledged > 0 ? words.alerts_none_new : words.all_calm;
      handled.hidden = acknowledged === 0;
      handled.textContent = words.alerts_handled(format.count(acknowledged));
      node.classList.toggle('some', open > 0);
    },
  };
}
