import type { RouterJournal } from '../config.ts';
import type { RouterConnection } from '../routeros/connection.ts';
import { isMissing, isRefusal } from './failure.ts';

/**
 * Live sessions that one apply must end on one router. Each is on disk before its secret is changed: otherwise one
 * that was left up when the line or the bridge failed would stay up, since the secret then looks right already.
 */
export class SessionsToEnd {
  readonly #journal: RouterJournal;
  readonly #router_id: string;
  readonly #new_names = new Set<string>();
  /** Rows whose removal was sent: when such a one is gone later on, it was us. */
  readonly #removals_sent = new Map<string, Set<string>>();
  ended = 0;

  constructor(journal: RouterJournal, router_id: string) {
    this.#journal = journal;
    this.#router_id = router_id;
  }

  has(name: string): boolean {
    return this.#journal.owesSession(this.#router_id, name);
  }

  async note(names: readonly string[]): Promise<void> {
    const new_names = names.filter(name => !this.has(name));
    if (new_names.length === 0) return;
    for (const name of new_names) {
      this.#new_names.add(name);
      this.#journal.noteSession(this.#router_id, name);
    }
    await this.#journal.save();
  }

  /** The change was refused, so the session may stay; not one that an earlier apply left behind. */
  takeBack(name: string): void {
    if (this.#new_names.has(name)) this.#journal.forgetSession(this.#router_id, name);
  }

  /** Ends what is there of the name; the router's refusal is thrown and leaves the name noted. */
  async end(connection: RouterConnection, name: string): Promise<void> {
    const rows = await connection.print('/ppp/active', { proplist: ['.id', 'name'], query: [`?name=${name}`] });
    const ids = rows.filter(row => row.name === name).map(row => row['.id'] ?? '');
    const sent = this.#removals_sent.get(name) ?? new Set();
    this.#removals_sent.set(name, sent);
    for (const id of sent) if (!ids.includes(id)) this.ended++;
    sent.clear();
    for (const id of ids) {
      sent.add(id);
      if (await removeSession(connection, id)) this.ended++;
      sent.delete(id);
    }
    this.#journal.forgetSession(this.#router_id, name);
  }
}

/** False when the subscriber had hung up in between. */
async function removeSession(connection: RouterConnection, id: string): Promise<boolean> {
  try {
    await connection.remove('/ppp/active', id);
    return true;
  } catch (error) {
    if (isRefusal(error) && isMissing(error)) return false;
    throw error;
  }
}
