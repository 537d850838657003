import type { LiveMessageOf } from '../../../client/live.ts';
import { card, make, quote, setChildren, setFigure } from '../dom.ts';
import type { RouterRow, Shown } from '../figures.ts';
import type { Card, Look } from '../look.ts';

type Measured = LiveMessageOf<'monitoring:update'>['data'];

/** What was measured longer ago says nothing of now. */
const MEASURE_MS = 15 * 60_000;

/** `measured`: what the socket last told of each router; no read tells it. */
export function makeRoutersCard(
  { words, format }: Look,
  measured: ReadonlyMap<string, Measured>,
): Card<Shown['routers']> {
  const list = make('ul', { class: 'list' });
  const more = make('p', { class: 'foot', hidden: '' });
  const rows = new Map<string, ReturnType<typeof makeRow>>();

  function makeRow({ name }: RouterRow) {
    const state = make('span', { class: 'state' });
    const traffic = make('span', { class: 'detail' });
    const error = make('span', { class: 'detail error' });
    const title = make('span', { class: 'name' }, quote(name));
    return {
      node: make('li', {}, make('span', { class: 'head' }, title, state), traffic, error),
      state,
      traffic,
      error,
    };
  }

  function describeTraffic({ lines_online, download_kbps, upload_kbps }: Measured) {
    return [
      lines_online === null ? null : words.lines_online(format.count(lines_online)),
      download_kbps === null ? null : `${words.download} ${format.speed(download_kbps * 1000)}`,
      upload_kbps === null ? null : `${words.upload} ${format.speed(upload_kbps * 1000)}`,
    ]
      .filter(part => part !== null)
      .join(' · ');
  }

  return {
    node: card('routers', words.routers, list, more),
    show({ rows: routers, total }) {
      for (const router of routers) {
        const row = rows.get(router.id) ?? makeRow(router);
        rows.set(router.id, row);
        row.node.className = router.status;
        setFigure(row.state, words.reach[router.status]);
        row.node.querySelector('bdi')!.textContent = router.name;
        const found = measured.get(router.id);
        const is_now = found !== undefined && Date.now() - Date.parse(found.measured_at) < MEASURE_MS;
        setFigure(row.traffic, is_now && router.status === 'online' ? describeTraffic(found) : '');
        row.error.textContent = router.status === 'online' ? '' : (router.last_error ?? '');
      }
      const known = new Set(routers.map(({ id }) => id));
      for (const id of rows.keys()) if (!known.has(id)) rows.delete(id);
      setChildren(
        list,
        routers.map(({ id }) => rows.get(id)!.node),
      );
      more.hidden = total <= routers.length && total > 0;
      more.textContent = total === 0 ? words.no_routers : words.and_more(format.count(total - routers.length));
    },
  };
}
