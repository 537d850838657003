/** One process for each state folder: two would count and send over each other without a word. */
import { createHash, randomUUID } from 'node:crypto';
import { link, realpath, rename, rm } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SetupError } from './config.ts';

export const LOCK_FILE = 'run.sock';
/** What a socket's address holds, on the narrowest system. */
const MOST_PATH_BYTES = 100;
/** A disk that can't hold a socket. */
const NO_SOCKETS = new Set(['ENOTSUP', 'EOPNOTSUPP', 'EPERM', 'EINVAL', 'ENAMETOOLONG']);
const TRIES = 5;

export interface StateLock {
  release(): Promise<void>;
}

/** A listening socket ends with its process, however that ends; what it leaves behind answers nobody. */
export async function lockState(state_dir: string): Promise<StateLock> {
  const [inside, elsewhere] = await listPlaces(state_dir);
  const is_long = Buffer.byteLength(inside) > MOST_PATH_BYTES || process.platform === 'win32';
  const server = is_long
    ? await take(elsewhere, state_dir)
    : await take(inside, state_dir).catch((error: unknown) => {
        if (!NO_SOCKETS.has(codeOf(error))) throw error;
        return take(elsewhere, state_dir);
      });
  return { release: () => new Promise(resolve => server.close(() => resolve())) };
}

async function listPlaces(state_dir: string): Promise<[inside: string, elsewhere: string]> {
  const real = await realpath(state_dir);
  const name = `rukun-bridge-${createHash('sha256').update(real).digest('hex').slice(0, 32)}`;
  const elsewhere = process.platform === 'win32' ? `\\\\.\\pipe\\${name}` : join(tmpdir(), `${name}.sock`);
  return [join(real, LOCK_FILE), elsewhere];
}

async function take(path: string, state_dir: string): Promise<Server> {
  for (let left = TRIES; left > 0; left--) {
    try {
      return await listen(path);
    } catch (error) {
      if (codeOf(error) !== 'EADDRINUSE') throw error;
      if (!(await isStale(path))) break;
    }
  }
  throw new SetupError(`another bridge runs on this folder (${state_dir}): stop it first`);
}

/** Takes away what nobody listens at any more. */
async function isStale(path: string): Promise<boolean> {
  if (await isAnswered(path)) return false;
  // somebody who starts at the same time may have put a new one there since: what is moved away is asked once more
  const aside = `${path}.${randomUUID().slice(0, 8)}`;
  await rename(path, aside).catch(() => undefined);
  const is_alive = await isAnswered(aside);
  if (is_alive) await link(aside, path).catch(() => undefined);
  await rm(aside, { force: true });
  return !is_alive;
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(path);
    const finish = (is_answered: boolean) => {
      socket.destroy();
      resolve(is_answered);
    };
    socket.once('connect', () => finish(true));
    // a full backlog is somebody, too
    socket.on('error', error => finish(!['ECONNREFUSED', 'ENOENT'].includes(codeOf(error))));
  });
}

function listen(path: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer(socket => socket.destroy());
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      server.on('error', () => undefined);
      server.unref();
      resolve(server);
    });
  });
}

const codeOf = (error: unknown) => (error instanceof Error && 'code' in error ? String(error.code) : '');
