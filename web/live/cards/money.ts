import { card, fitFigures, make, setFigure } from '../dom.ts';
import type { Shown } from '../figures.ts';
import type { Card, Look } from '../look.ts';

export function makeMoneyCard({ words, format }: Look): Card<Shown['money']> {
  const figure = (name: string) => make('dd', { 'data-figure': name });
  const row = (label: string, value: HTMLElement, more: HTMLElement | null = null, kind = '') =>
    make('div', { class: `row ${kind}`.trim() }, make('dt', {}, `${label} `, more), value);
  const cash_today = figure('cash_today');
  const revenue_today = figure('revenue_today');
  const cash_month = figure('cash_month');
  const revenue_month = figure('revenue_month');
  const [pending, overdue] = [figure('pending'), figure('overdue')];
  const [pending_count, overdue_count] = [make('small'), make('small')];
  const node = card(
    'money',
    words.money,
    make(
      'dl',
      { class: 'rows' },
      make('div', { class: 'row big' }, make('dt', {}, words.cash_today), cash_today),
      row(words.revenue_today, revenue_today),
      row(words.cash_month, cash_month, null, 'apart'),
      row(words.revenue_month, revenue_month),
      row(words.pending, pending, pending_count, 'apart'),
      row(words.overdue, overdue, overdue_count, 'overdue'),
    ),
  );
  return {
    node,
    show(stats) {
      const { today, by_status } = stats;
      setFigure(cash_today, format.money(today.cash));
      fitFigures(cash_today, [cash_today]);
      setFigure(revenue_today, format.money(today.revenue));
      setFigure(cash_month, format.money(stats.cash));
      setFigure(revenue_month, format.money(stats.revenue));
      setFigure(pending, format.money(by_status.pending.amount));
      setFigure(overdue, format.money(by_status.overdue.amount));
      pending_count.textContent = words.dues(format.count(by_status.pending.count));
      overdue_count.textContent = words.dues(format.count(by_status.overdue.count));
      overdue.parentElement!.classList.toggle('some', by_status.overdue.count > 0);
    },
  };
}
