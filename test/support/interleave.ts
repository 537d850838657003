import { vi } from 'vitest';

/** Lets something happen between two round trips to a database of whoever else is at work. */

export interface Interleaving {
  /** Round trips so far, of whoever was not let in between. */
  trips: number;
  /** What was let in has happened. */
  happened: boolean;
  stop(): void;
}

/** Whether one of them has this in its text. */
const say = (statements: readonly D1PreparedStatement[], text: string): boolean =>
  statements.some(each => (each as unknown as { statement: string }).statement.includes(text));

const isOfHub = (statements: D1PreparedStatement[]): boolean => say(statements, 'FROM events AS e WHERE e.seq >');

/**
 * `what` happens just before the round trip of that number, or the first one that says that text; the first is 0. Its own
 * are not counted.
 */
export function letIn(d1: D1Database, before: number | string, what: () => Promise<unknown>): Interleaving {
  let is_in = false;
  const real = d1.withSession.bind(d1);
  const spy = vi.spyOn(d1, 'withSession').mockImplementation(start => {
    const session = real(start);
    // whoever opens a session while the other one is let in is the other one
    if (is_in) return session;
    const batch = session.batch.bind(session);
    session.batch = async statements => {
      // the hub looks at the log whenever it likes
      if (isOfHub(statements)) return batch(statements);
      const is_now = typeof before === 'number' ? state.trips === before : say(statements, before);
      state.trips++;
      if (is_now && !state.happened) {
        is_in = true;
        await what();
        [is_in, state.happened] = [false, true];
      }
      return batch(statements);
    };
    return session;
  });
  const state: Interleaving = { trips: 0, happened: false, stop: () => spy.mockRestore() };
  return state;
}

/**
 * The first round trip that says `text` has been made, and whoever made it waits for the answer until it may go on. By flags:
 * a promise of one request that is settled by another one ends the runtime.
 */
export function holdAfter(d1: D1Database, text: string): { has_read: boolean; may_go: boolean } {
  const state = { has_read: false, may_go: false };
  const real = d1.withSession.bind(d1);
  vi.spyOn(d1, 'withSession').mockImplementation(start => {
    const session = real(start);
    const batch = session.batch.bind(session);
    session.batch = async <T>(statements: D1PreparedStatement[]) => {
      const results = await batch<T>(statements);
      if (state.has_read || !say(statements, text)) return results;
      state.has_read = true;
      while (!state.may_go) await new Promise(resolve => setTimeout(resolve, 1));
      return results;
    };
    return session;
  });
  return state;
}
