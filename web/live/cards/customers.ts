import { card, fitFigures, make, setFigure } from '../dom.ts';
import type { Shown } from '../figures.ts';
import type { Card, Look } from '../look.ts';

/** In the order in which an owner asks. */
const STATUSES = ['active', 'suspended', 'pending_activation', 'terminated'] as const;

export function makeCustomersCard({ words, format }: Look): Card<Shown['customers']> {
  const total = make('b');
  const fresh = make('b');
  const tiles = STATUSES.map(status => {
    const figure = make('dd', { 'data-figure': status });
    const tile = make('div', { class: `tile ${status}` }, make('dt', {}, words.statuses[status]), figure);
    return { status, figure, tile };
  });
  const list = make('dl', { class: 'tiles' }, ...tiles.map(({ tile }) => tile));
  const node = card(
    'customers',
    words.customers,
    list,
    make('p', { class: 'foot' }, total, ` ${words.customers_total} · `, fresh, ` ${words.new_this_month}`),
  );
  return {
    node,
    show(stats) {
      for (const { status, figure } of tiles) setFigure(figure, format.count(stats.by_status[status]));
      fitFigures(
        list,
        tiles.map(({ figure }) => figure),
      );
      setFigure(total, format.count(stats.total));
      setFigure(fresh, format.count(stats.new_this_month));
    },
  };
}
