import { chmodSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** What the demo keeps in the folder of all state: how to sign in, and what it has made. */

export interface DemoFile {
  url: string;
  tenant: string;
  email: string;
  password: string;
  router_host: string;
  router_port: number;
  router_user: string;
  router_password: string;
}

/** A name may change and a row may go; by this the demo's own are known, and that nothing is to be made twice. */
export interface DemoMade {
  router_id?: string;
  is_filled?: boolean;
}

/** A mistake that a person can put right; its message is shown as it is. */
export class StartError extends Error {}

/** Readable by its owner alone: it holds passwords. All of it or nothing. */
export function writePrivate(file: string, text: string): void {
  const beside = `${file}.new`;
  writeFileSync(beside, text, { mode: 0o600 });
  chmodSync(beside, 0o600);
  renameSync(beside, file);
}

const demoPath = (state_dir: string) => path.join(state_dir, 'demo.json');
const madePath = (state_dir: string) => path.join(state_dir, 'demo-made.json');
const bridgePath = (state_dir: string) => path.join(state_dir, 'bridge/bridge.json');

const readJson = (file: string): unknown => (existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : null);
const toText = (value: object) => `${JSON.stringify(value, null, 2)}\n`;

export const readDemoFile = (state_dir: string) => readJson(demoPath(state_dir)) as DemoFile | null;
export const writeDemoFile = (state_dir: string, demo: DemoFile) => writePrivate(demoPath(state_dir), toText(demo));

export const readMade = (state_dir: string) => (readJson(madePath(state_dir)) ?? {}) as DemoMade;
export const noteMade = (state_dir: string, made: DemoMade) =>
  writePrivate(madePath(state_dir), toText({ ...readMade(state_dir), ...made }));

/** As whom the bridge on this machine is enrolled. */
export const readBridgeId = (state_dir: string): string | null =>
  (readJson(bridgePath(state_dir)) as { bridge_id: string } | null)?.bridge_id ?? null;

/** An ISP that is signed up anew has nothing of what an earlier one had. */
export function forgetMade(state_dir: string): void {
  for (const file of [madePath(state_dir), bridgePath(state_dir)]) rmSync(file, { force: true });
}
