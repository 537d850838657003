/**
 * Which tab this is. A duplicated tab begins with a copy of what the tab kept, and two that use the same refresh token
 * end each other's session: so each has an id of its own, and holds a lock by that name for as long as the page lives.
 */

/** After a reload the page before may still be about to let go; only a copy waits so long. */
const LET_GO_MS = 1500;

let held_id: string | null = null;

/** The id of this page's tab; a new one where it has none yet. */
export function tabId(): string {
  if (held_id === null) {
    held_id = [...crypto.getRandomValues(new Uint32Array(4))].map(part => part.toString(36)).join('');
    void hold(held_id);
  }
  return held_id;
}

/** Goes on as the tab that was kept; false: another page is that tab. */
export async function claimTab(id: string): Promise<boolean> {
  if (id === held_id) return true;
  if (!(await hold(id))) return false;
  held_id = id;
  return true;
}

/** Where there are no locks, or none are given, nobody can tell: it is taken for ours. */
function hold(id: string): Promise<boolean> {
  // browsers have them for pages that came by HTTPS, or from this machine
  const { locks } = navigator as Partial<Navigator>;
  if (!locks) return Promise.resolve(true);
  return new Promise(resolve => {
    const keep = () => {
      resolve(true);
      return new Promise<never>(() => {});
    };
    locks
      .request(`rukun.tab.${id}`, { signal: AbortSignal.timeout(LET_GO_MS) }, keep)
      .catch((error: unknown) => resolve((error as Error).name !== 'TimeoutError'));
  });
}
