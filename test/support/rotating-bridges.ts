import { once } from 'node:events';
import { readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { CONFIG_FILE } from '../../bridge/config.ts';
import { makeLog } from '../../bridge/log.ts';
import { type RunningBridge, startBridge } from '../../bridge/run.ts';
import type { TestBridgeAccess } from './network.ts';

/** Bridges whose keys a test may change: a new one at each `POST /bridges`, told by JSON. */

interface Rotating {
  state_dir: string;
  bridge: RunningBridge;
  log_lines: string[];
}

export async function startRotatingBridges(
  enrol: () => Promise<{ state_dir: string; known: Omit<TestBridgeAccess, 'url'> }>,
) {
  const bridges = new Map<string, Rotating>();
  const start = (state_dir: string, port: number, log_lines: string[]) =>
    startBridge({ state_dir, port, log: makeLog(line => log_lines.push(line)), measure: false, report: false });

  const add = async (): Promise<TestBridgeAccess> => {
    const { state_dir, known } = await enrol();
    const log_lines: string[] = [];
    const bridge = await start(state_dir, 0, log_lines);
    bridges.set(known.id, { state_dir, bridge, log_lines });
    return { ...known, url: `http://127.0.0.1:${bridge.port}` };
  };

  /** As after a kill: only what is on the disk is still known. */
  const restart = async (rotating: Rotating) => {
    const { port } = rotating.bridge;
    await rotating.bridge.stop(0);
    rotating.bridge = await start(rotating.state_dir, port, rotating.log_lines);
  };

  const serve = async (method: string, url: string): Promise<unknown> => {
    const [, kind, id = '', what] = url.split('/');
    if (`${method} ${kind}/${id}` === 'POST bridges/') return add();
    const rotating = bridges.get(id);
    if (!rotating) throw new Error(`nothing here: ${url}`);
    if (method === 'POST' && what === 'restart') return restart(rotating);
    if (what === 'log') return rotating.log_lines;
    return JSON.parse(await readFile(path.join(rotating.state_dir, CONFIG_FILE), 'utf8')) as unknown;
  };

  const server = createServer((request, response) => {
    serve(request.method ?? '', request.url ?? '').then(
      answer => response.end(JSON.stringify(answer ?? null)),
      (error: unknown) => response.writeHead(500).end(JSON.stringify(String(error))),
    );
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const stop = async () => {
    server.closeAllConnections();
    await new Promise(resolve => server.close(resolve));
    for (const { bridge, state_dir } of bridges.values()) {
      await bridge.stop(0);
      await rm(state_dir, { recursive: true });
    }
  };
  return { control_url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, stop };
}
