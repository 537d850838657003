/** What customers are called: events name them by id. Each is asked for once, one after the other. */

const MOST_WAITING = 50;

export class CustomerNames {
  readonly #known = new Map<string, string | null>();
  #waiting: string[] = [];
  #asked: string | null = null;
  readonly #read: (id: string) => Promise<string>;
  readonly #onName: (id: string) => void;

  constructor(read: (id: string) => Promise<string>, onName: (id: string) => void) {
    this.#read = read;
    this.#onName = onName;
  }

  learn(id: string, name: string): void {
    this.#known.set(id, name);
  }

  /** Null: not known, or not yet. */
  of(id: string): string | null {
    const known = this.#known.get(id);
    if (known !== undefined) return known;
    if (id !== this.#asked && !this.#waiting.includes(id)) this.#waiting = [...this.#waiting, id].slice(-MOST_WAITING);
    void this.#ask();
    return null;
  }

  async #ask(): Promise<void> {
    if (this.#asked !== null) return;
    // the newest first: they stand on top
    for (let id = this.#waiting.pop(); id !== undefined; id = this.#waiting.pop()) {
      this.#asked = id;
      const name = await this.#read(id).catch(() => null);
      this.#known.set(id, name);
      if (name !== null) this.#onName(id);
    }
    this.#asked = null;
  }
}
