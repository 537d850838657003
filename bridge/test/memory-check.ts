/**
 * A program, not a test: what a bridge weighs that watches 20 routers of 2,000 secrets and 2,000 sessions each.
 *
 *   node bridge/test/memory-check.ts [routers] [secrets] [rounds]
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { REPORT_PATH, type ReportRequest, type RouterAccess } from '../../src/protocol/messages.ts';
import { NONCE_HEADER, signAnswer, SIGNATURE_HEADER } from '../../src/protocol/signature.ts';
import { writeConfig } from '../config.ts';
import { startSimulator } from '../simulator/server.ts';
import { makeItem, makeProfile, passwordOf, passwordsOf, ROUTER_PASSWORD, TestBridge } from './bridge-client.ts';

const LIMIT_KB = 100 * 1024;
const ROUND_S = 5;
const say = (line: string) => process.stdout.write(`${line}\n`);
const nameLine = (at: number) => `line${String(at).padStart(4, '0')}`;

async function serveSimulators(routers: number, secrets: number): Promise<void> {
  const lines = Array.from({ length: secrets }, (_, at) => {
    const name = nameLine(at);
    return `add comment="rukun:C-${name}" name=${name} password=${passwordOf(name)} profile=paket-10m service=pppoe`;
  });
  const profile = 'add comment="rukun:plan:0193a2b4" local-address=10.10.0.1 name=paket-10m rate-limit=5M/10M';
  for (let i = 0; i < routers; i++) {
    const { router, port } = await startSimulator({ port: 0, username: 'rukun', password: ROUTER_PASSWORD });
    router.load(`/ppp profile\n${profile}\n/ppp secret\n${lines.join('\n')}\n`);
    for (let at = 0; at < secrets; at++) {
      router.dial(nameLine(at));
      router.useTraffic(nameLine(at), { download_bps: 2_000_000, upload_bps: 200_000 });
    }
    say(String(port));
  }
  say('ready');
  const parent = process.ppid;
  setInterval(() => process.ppid !== parent && process.exit(), 500);
}

async function readLines(child: ChildProcess, count: number): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout! })) {
    lines.push(line);
    if (lines.length === count) break;
  }
  return lines;
}

/** Takes every batch, and says what it is told. */
async function startCloud(signing_secret: string) {
  const told = { reports: 0, batches: 0, lines: 0, bytes: 0, moved: 0 };
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    const report = JSON.parse(text) as ReportRequest;
    const lines = report.batch?.routers.flatMap(router => router.lines ?? []) ?? [];
    told.reports += request.url === REPORT_PATH ? 1 : 0;
    told.batches += report.batch ? 1 : 0;
    told.lines += lines.length;
    told.bytes += text.length;
    told.moved += lines.reduce((sum, line) => sum + line.download_bytes, 0);
    const body = JSON.stringify({ success: true, data: { batch_taken: report.batch !== null, watched: null } });
    const nonce = String(request.headers[NONCE_HEADER]);
    response.writeHead(200, { [SIGNATURE_HEADER]: await signAnswer(signing_secret, nonce, 200, body) }).end(body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { told, server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

function readMemory(pid: number): { rss_kb: number; peak_kb: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const read = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0);
  return { rss_kb: read('VmRSS'), peak_kb: read('VmHWM') };
}

async function check(routers: number, secrets: number, rounds: number): Promise<void> {
  const self = fileURLToPath(import.meta.url);
  const simulators = spawn(process.execPath, [self, 'simulators', String(routers), String(secrets)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ports = (await readLines(simulators, routers + 1)).slice(0, routers).map(Number);
  say(`${routers} simulated routers of ${secrets} secrets and as many sessions are up`);

  const bridge = await TestBridge.make();
  const cloud = await startCloud(bridge.config.signing_secret);
  await writeConfig(bridge.state_dir, { ...bridge.config, cloud_url: cloud.url });
  const accesses: RouterAccess[] = ports.map(port => bridge.describeRouter({ id: randomUUID(), port }));
  const passwords = Object.fromEntries(accesses.map(({ id }) => [id, ROUTER_PASSWORD]));
  const watched = { tag: 't1', routers: accesses, devices: [], sealed_passwords: await bridge.seal(passwords) };
  await writeFile(join(bridge.state_dir, 'watched.json'), JSON.stringify(watched));
  const main = fileURLToPath(new URL('../main.ts', import.meta.url));
  const args = [main, 'run', '--port', '0', '--state', bridge.state_dir, '--measure-every', String(ROUND_S)];
  const flags = (process.env.DAEMON_FLAGS ?? '').split(' ').filter(Boolean);
  const daemon = spawn(process.execPath, [...flags, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  daemon.stdout.on('data', (chunk: Buffer) => process.env.VERBOSE && process.stderr.write(chunk));
  daemon.stderr.on('data', (chunk: Buffer) => process.env.VERBOSE && process.stderr.write(chunk));
  const [started = ''] = await readLines(daemon, 1);
  bridge.running = { name: '', port: Number(started.split(':').at(-1)), stop: async () => undefined };
  const pid = daemon.pid!;
  say(`started: ${readMemory(pid).rss_kb} kB`);

  const deadline_ms = Date.now() + 300_000;
  while (cloud.told.lines < rounds * routers * secrets && Date.now() < deadline_ms) await pause(200);
  say(`after ${rounds} rounds: ${JSON.stringify(readMemory(pid))} ${JSON.stringify(cloud.told)}`);

  const names = Array.from({ length: secrets }, (_, at) => nameLine(at));
  const items = names.map(name => makeItem(name));
  for (const router of accesses.slice(0, 5)) {
    const started_ms = performance.now();
    const answer = await bridge.apply({ router, profiles: [makeProfile()], items, passwords: passwordsOf(...names) });
    const changed = answer.items.filter(({ outcome }) => outcome !== 'unchanged').length;
    const took = `${Math.round(performance.now() - started_ms)} ms, ${answer.commands_sent} commands`;
    say(`apply of ${items.length} secrets: ${changed} changed, ${took}; ${JSON.stringify(readMemory(pid))}`);
  }
  const lines = cloud.told.lines;
  while (cloud.told.lines < lines + 2 * routers * secrets && Date.now() < deadline_ms) await pause(200);
  const { rss_kb, peak_kb } = readMemory(pid);
  say(`at the end: rss ${rss_kb} kB, peak ${peak_kb} kB ${JSON.stringify(cloud.told)}`);
  const stopped_ms = performance.now();
  daemon.kill('SIGTERM');
  await once(daemon, 'exit');
  say(`stopped in ${Math.round(performance.now() - stopped_ms)} ms`);
  simulators.kill('SIGKILL');
  cloud.server.close();
  cloud.server.closeAllConnections();
  await bridge.end();
  say(peak_kb < LIMIT_KB ? 'good: under 100 MB' : 'BAD: over 100 MB');
  process.exitCode = peak_kb < LIMIT_KB ? 0 : 1;
}

const pause = (time_ms: number) => new Promise(resolve => setTimeout(resolve, time_ms));

const [mode, ...rest] = process.argv.slice(2);
if (mode === 'simulators') await serveSimulators(Number(rest[0]), Number(rest[1]));
else await check(Number(mode ?? 20), Number(rest[0] ?? 2000), Number(rest[1] ?? 3));
