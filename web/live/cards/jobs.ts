import { card, make, setChildren, setFigure } from '../dom.ts';
import { jobsToShow, type Job } from '../jobs.ts';
import type { Card, Look } from '../look.ts';
import { wordFor } from '../words.ts';

export function makeJobsCard({ words, format }: Look): Card<readonly Job[]> {
  const list = make('ul', { class: 'list' });
  const none = make('p', { class: 'foot' }, words.no_jobs);
  const rows = new Map<string, ReturnType<typeof makeRow>>();

  function makeRow({ kind }: Job) {
    const name = wordFor(words.job_kinds, kind) ?? kind;
    const state = make('span', { class: 'state' });
    const bar = make('progress', { max: '100', 'aria-label': name });
    const detail = make('span', { class: 'detail' });
    const head = make('span', { class: 'head' }, make('span', { class: 'name' }, name), state);
    return { node: make('li', {}, head, bar, detail), state, bar, detail };
  }

  function describe({ status, succeeded, failed, total }: Job): string {
    if (total === 0) return '';
    const is_over = status !== 'running' && status !== 'queued';
    const done = format.count(succeeded);
    const counts = is_over
      ? words.job_successes(done)
      : words.job_counts(format.count(succeeded + failed), format.count(total));
    return failed > 0 ? `${counts} · ${words.job_failures(format.count(failed))}` : counts;
  }

  return {
    node: card('jobs', words.jobs, list, none),
    show(jobs) {
      const shown = jobsToShow(jobs, Date.now());
      for (const job of shown) {
        const row = rows.get(job.id) ?? makeRow(job);
        rows.set(job.id, row);
        row.node.className = job.status;
        setFigure(row.state, words.job_statuses[job.status]);
        row.bar.value = job.progress;
        row.detail.textContent = describe(job);
      }
      setChildren(
        list,
        shown.map(({ id }) => rows.get(id)!.node),
      );
      none.hidden = shown.length > 0;
    },
  };
}
