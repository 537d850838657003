import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { SetupError } from '../config.ts';
import { enrolBridge } from '../enroll.ts';
import { LOCK_FILE, lockState } from '../state-lock.ts';

let folder = '';

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'rukun-lock-'));
});

afterEach(() => rm(folder, { recursive: true }));

test('one at a time, again and again', async () => {
  for (let i = 0; i < 3; i++) {
    const lock = await lockState(folder);
    await expect(lockState(folder)).rejects.toThrow(SetupError);
    await expect(lockState(join(folder, '..', folder.split('/').at(-1) ?? ''))).rejects.toThrow('another bridge runs');
    await lock.release();
    expect(await readdir(folder)).toEqual([]);
  }
});

test('a folder with a long name, too', async () => {
  const long = join(folder, 'x'.repeat(120));
  await mkdir(long);
  const lock = await lockState(long);
  expect(await readdir(long)).toEqual([]);
  await expect(lockState(long)).rejects.toThrow('another bridge runs');
  await lock.release();
  await (await lockState(long)).release();
});

test('of several that start at once, one', async () => {
  const tries = await Promise.allSettled(Array.from({ length: 10 }, () => lockState(folder)));
  const locks = tries.flatMap(tried => (tried.status === 'fulfilled' ? [tried.value] : []));
  expect(locks).toHaveLength(1);
  await locks[0]?.release();
});

test('one that was killed is no hindrance', async () => {
  const module = JSON.stringify(fileURLToPath(new URL('../state-lock.ts', import.meta.url)));
  const code = `import { lockState } from ${module};
    await lockState(${JSON.stringify(folder)});
    console.log('locked');
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', code], { stdio: 'pipe' });
  await once(child.stdout, 'data');
  await expect(lockState(folder)).rejects.toThrow('another bridge runs');
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(await readdir(folder)).toEqual([LOCK_FILE]);
  const tries = await Promise.allSettled(Array.from({ length: 5 }, () => lockState(folder)));
  const locks = tries.flatMap(tried => (tried.status === 'fulfilled' ? [tried.value] : []));
  expect(locks).toHaveLength(1);
  await locks[0]?.release();
  expect(await readdir(folder)).toEqual([]);
});

test('nobody enrols again under a bridge that runs', async () => {
  const lock = await lockState(folder);
  const options = { url: 'http://127.0.0.1:1', token: 't', state_dir: folder, is_again: true };
  await expect(enrolBridge(options)).rejects.toThrow('another bridge runs');
  await lock.release();
  await expect(enrolBridge(options)).rejects.toThrow("can't be reached");
  expect(await readdir(folder)).toEqual([]);
});
