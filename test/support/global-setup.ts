import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestProject } from 'vitest/node';
import { type BridgeConfig, writeConfig } from '../../bridge/config.ts';
import { makeLog } from '../../bridge/log.ts';
import { startBridge } from '../../bridge/run.ts';
import { startSimulator } from '../../bridge/simulator/server.ts';
import { makeSecrets } from '../../scripts/keys.ts';
import { type AccountOptions, readAccountOptions } from './account-model/options.ts';
import { type FuzzOptions, readFuzzOptions } from './fuzz/options.ts';
import type { SimulationSetup, TestBridgeAccess, TestNetwork } from './network.ts';
import { startRotatingBridges } from './rotating-bridges.ts';
import { readSimulationOptions, startSimulationNetwork } from './simulation-network.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    secrets: Record<string, string>;
    network: TestNetwork;
    rotation: string;
    simulation: SimulationSetup;
    accounts: AccountOptions;
    fuzz: FuzzOptions;
  }
}

/** The folder of a bridge that has enrolled, and what the Worker knows of it. */
async function enrolInFolder(): Promise<{ state_dir: string; known: Omit<TestBridgeAccess, 'url'> }> {
  const state_dir = await mkdtemp(path.join(tmpdir(), 'rukun-test-'));
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { kty, crv, x, y, d } = privateKey.export({ format: 'jwk' });
  const identity = { bridge_id: randomUUID(), signing_secret: randomBytes(32).toString('base64url') };
  await writeConfig(state_dir, {
    ...identity,
    tenant_id: randomUUID(),
    name: 'test',
    cloud_url: 'http://127.0.0.1',
    private_key: { kty, crv, x, y, d } as BridgeConfig['private_key'],
  });
  const public_key = { kty, crv, x, y } as TestBridgeAccess['public_key'];
  return { state_dir, known: { id: identity.bridge_id, signing_secret: identity.signing_secret, public_key } };
}

/** A router that hangs: it takes whoever comes, and never answers. */
async function startSilence() {
  const sockets = new Set<Socket>();
  const server = createServer(socket => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const stop = () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { port: (server.address() as AddressInfo).port, stop };
}

const makeCredentials = () => ({ username: 'rukun', password: randomBytes(9).toString('hex') });

async function startNetwork() {
  const { state_dir, known } = await enrolInFolder();
  const credentials = makeCredentials();
  const simulator = await startSimulator({ port: 0, control_port: 0, ...credentials });
  const bridge = await startBridge({ state_dir, port: 0, log: makeLog(() => {}) });
  const silence = await startSilence();
  const network: TestNetwork = {
    silent_port: silence.port,
    bridge: { ...known, url: `http://127.0.0.1:${bridge.port}` },
    router: {
      host: '127.0.0.1',
      port: simulator.port,
      ...credentials,
      control_url: `http://127.0.0.1:${simulator.control_port}`,
    },
  };
  const stop = async () => {
    await bridge.stop();
    await simulator.stop();
    silence.stop();
    await rm(state_dir, { recursive: true });
  };
  return { network, stop };
}

async function startSimulation() {
  const { state_dir, known } = await enrolInFolder();
  const { bridge_url, routers, control_url, stop } = await startSimulationNetwork(state_dir, makeCredentials());
  const setup: SimulationSetup = {
    bridge: { ...known, url: bridge_url },
    routers,
    control_url,
    options: readSimulationOptions(),
  };
  return { setup, stop: () => stop().then(() => rm(state_dir, { recursive: true })) };
}

export default async function ({ provide }: TestProject) {
  const [{ network, stop }, simulation, rotation] = await Promise.all([
    startNetwork(),
    startSimulation(),
    startRotatingBridges(enrolInFolder),
  ]);
  // a day old: a test's newer key may have been in use for hours
  provide('secrets', await makeSecrets(Date.now() - 24 * 60 * 60_000));
  provide('network', network);
  provide('rotation', rotation.control_url);
  provide('simulation', simulation.setup);
  provide('accounts', readAccountOptions());
  provide('fuzz', readFuzzOptions());
  return async () => {
    await Promise.all([stop(), simulation.stop(), rotation.stop()]);
  };
}
