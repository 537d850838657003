import type { Schemas } from '../../client/index.ts';

/** Which jobs are worth a line: pure. */

export type Job = Schemas['Job'];

/** What just ended stays for a while: somebody waited for it. */
const ENDED_MS = 10 * 60_000;
const MOST_ENDED = 3;

export function jobsToShow(jobs: readonly Job[], now: number): Job[] {
  const is_under_way = ({ status }: Job) => status === 'running' || status === 'queued';
  const ended = jobs.filter(
    job => !is_under_way(job) && now - Date.parse(job.finished_at ?? job.updated_at) < ENDED_MS,
  );
  return [...jobs.filter(is_under_way), ...ended.slice(0, MOST_ENDED)];
}
