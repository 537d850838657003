/** Files that are whole or not there, also when the power fails. All of them are ours alone to read. */
import { createHash } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** The steps of a disk that can each be the last one before a crash; handed in where a test wants one. */
export interface Disk {
  /** Null when there is no such file. */
  read(path: string): Promise<string | null>;
  /** Files of a folder, with their sizes; none when there is no such folder. */
  list(folder: string): Promise<{ name: string; bytes: number }[]>;
  makeFolder(path: string): Promise<void>;
  /** Resolves when it is on the disk, not only on its way. */
  write(path: string, text: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  syncFolder(path: string): Promise<void>;
}

export const DISK: Disk = {
  read: readIfThere,
  list: async folder => {
    const names = await readdir(folder).catch(ignoreMissing);
    const files = (names ?? []).map(async name => {
      const about = await stat(join(folder, name)).catch(ignoreMissing);
      return about?.isFile() ? [{ name, bytes: about.size }] : [];
    });
    return (await Promise.all(files)).flat();
  },
  makeFolder: async path => void (await mkdir(path, { recursive: true, mode: 0o700 })),
  write: async (path, text) => {
    const file = await open(path, 'wx', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
  },
  rename,
  remove: path => rm(path, { force: true }),
  syncFolder: async path => {
    // a folder can't be synced on every system; then the rename is as safe as that system makes it
    const folder = await open(path, 'r').catch(() => null);
    await folder?.sync().catch(() => undefined);
    await folder?.close();
  },
};

/** All of it or nothing: written beside, synced, then renamed. */
export async function replaceFile(path: string, text: string, disk: Disk = DISK): Promise<void> {
  const beside = `${path}.new`;
  await disk.remove(beside);
  await disk.write(beside, text);
  await disk.rename(beside, path);
  await disk.syncFolder(dirname(path));
}

export async function readIfThere(path: string): Promise<string | null> {
  return await readFile(path, 'utf8').catch(ignoreMissing);
}

/** The text with its hash before it, so that damage is noticed. */
export function addHash(text: string): string {
  return `${hashText(text)}\n${text}`;
}

/** Null when it is not what was written. */
export function checkHash(text: string): string | null {
  const rest = text.slice(65);
  return text[64] === '\n' && text.slice(0, 64) === hashText(rest) ? rest : null;
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null;
  }
}

function hashText(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function ignoreMissing(error: unknown): null {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
  throw error;
}
