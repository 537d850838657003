// Ansible's community.routeros, run twice over the same router: the second run must find nothing to change.
import { spawn } from 'node:child_process';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { PASSWORD, USER } from './router.ts';
import type { Router } from './router.ts';

interface TaskResult {
  changed?: boolean;
  failed?: boolean;
  msg?: unknown;
}

interface PlaybookReport {
  plays?: { tasks: { task: { name: string }; hosts: Record<string, TaskResult> }[] }[];
}

const PLAYBOOK = path.join(import.meta.dirname, 'playbook.yml');

export async function playTwice(router: Router): Promise<Map<string, string>> {
  const failures = new Map<string, string>();
  for (const run of ['first run', 'second run']) {
    for (const [task, { changed, failed, msg }] of await play(router, PASSWORD)) {
      if (failed) failures.set(`${run}: ${task}`, JSON.stringify(msg).slice(0, 300));
      else if (changed && run === 'second run') failures.set(`${run}: ${task}`, 'it changed something again');
    }
    if (failures.size > 0) return failures;
  }
  const lists = await router.rows('/ip/firewall/address-list');
  const held = lists.map(({ list, address }) => `${list} ${address}`).join(', ');
  const wanted = 'isolir 10.20.0.7, isolir 10.20.0.8, bebas 10.30.0.0/24';
  if (held !== wanted) failures.set('address lists', `the router holds ${held}`);
  const [refusal] = await play(router, `${PASSWORD}!`);
  if (!refusal?.[1].failed) failures.set('wrong password', 'it was let in');
  return failures;
}

async function play(router: Router, password: string): Promise<[string, TaskResult][]> {
  const child = spawn('ansible-playbook', ['-i', 'localhost,', PLAYBOOK], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      HOST: router.host,
      PORT: String(router.port),
      MODE: router.mode,
      LOGIN_USER: USER,
      LOGIN_PASSWORD: password,
      ANSIBLE_STDOUT_CALLBACK: 'json',
      ANSIBLE_PYTHON_INTERPRETER: '/usr/bin/python3',
      LC_ALL: 'C.UTF-8',
    },
  });
  const [output, complaints] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const start = output.indexOf('{');
  if (start === -1) return [['ansible-playbook', { failed: true, msg: complaints || output }]];
  const { plays = [] } = JSON.parse(output.slice(start)) as PlaybookReport;
  return plays.flatMap(({ tasks }) =>
    tasks.flatMap(({ task, hosts }) => Object.values(hosts).map(result => [task.name, result] as [string, TaskResult])),
  );
}
