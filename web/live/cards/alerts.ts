import { card, make, setFigure } from '../dom.ts';
import type { Card, Look } from '../look.ts';

/** How many alerts nobody looks after yet. */
export function makeAlertsCard({ words, format }: Look): Card<number> {
  const figure = make('dd', { 'data-figure': 'alerts' });
  const label = make('dt');
  const node = card('alerts', words.alerts, make('dl', {}, make('div', { class: 'count' }, label, figure)));
  return {
    node,
    show(open) {
      setFigure(figure, format.count(open));
      label.textContent = open === 0 ? words.all_calm : words.alerts_open;
      node.classList.toggle('some', open > 0);
    },
  };
}
