// The state file: an export with passwords, read at the start and written back a moment after each change.
import { copyFile, readFile, rename, writeFile } from 'node:fs/promises';
import type { LoadProblem } from './load.ts';
import type { SimulatedRouter } from './router.ts';
import { decodeBytes, encodeText } from './text.ts';

const WRITE_DELAY_MS = 500;

export class StateFile {
  readonly #router: SimulatedRouter;
  readonly #path: string;
  readonly #report: (message: string) => void;
  #timer: NodeJS.Timeout | null = null;
  #is_dirty = false;
  #writing: Promise<void> = Promise.resolve();

  constructor(router: SimulatedRouter, path: string, report: (message: string) => void) {
    this.#router = router;
    this.#path = path;
    this.#report = report;
  }

  /** A missing file is an empty router. What can't be loaded is reported, and the file copied before it is written. */
  async load(): Promise<void> {
    let problems: LoadProblem[] = [];
    try {
      problems = this.#router.load(decodeBytes(await readFile(this.#path))).problems;
    } catch (error) {
      if (!isMissing(error)) throw error;
      this.#is_dirty = true;
    }
    for (const { line, text, reason } of problems) {
      this.#report(`${this.#path}:${line}: not loaded: ${text.slice(0, 80)}: ${reason}`);
    }
    if (problems.length > 0) await copyFile(this.#path, `${this.#path}.orig`);
    this.#router.onChange = () => this.#noteChange();
  }

  /** Writes what is still unwritten; fails where it can't. */
  async close(): Promise<void> {
    this.#router.onChange = () => {};
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#writing;
    if (this.#is_dirty) await this.#write();
  }

  #noteChange(): void {
    this.#is_dirty = true;
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.#writing = this.#write().catch((error: unknown) =>
        this.#report(`${this.#path}: not written: ${String(error)}`),
      );
    }, WRITE_DELAY_MS);
  }

  // Written beside and renamed, so that a crash leaves the old file whole.
  async #write(): Promise<void> {
    await this.#writing;
    this.#is_dirty = false;
    const draft = `${this.#path}.${process.pid}.tmp`;
    try {
      await writeFile(draft, encodeText(this.#router.export({ show_sensitive: true })), { mode: 0o600 });
      await rename(draft, this.#path);
    } catch (error) {
      this.#is_dirty = true;
      throw error;
    }
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
