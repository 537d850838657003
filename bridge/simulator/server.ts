// The simulated router on real sockets, with the faults that can be switched on.
import { Connections } from './connections.ts';
import { startControl } from './control.ts';
import { NO_FAULTS } from './faults.ts';
import type { Faults } from './faults.ts';
import { SimulatedRouter } from './router.ts';
import { closeServer, listen } from './sockets.ts';
import { StateFile } from './state-file.ts';
import { makeRouterTls } from './tls.ts';
import type { TlsKind } from './tls.ts';
import { parseVersion } from './version.ts';

export type { Faults } from './faults.ts';

export interface SimulatorOptions {
  /** 0: any free one. */
  port: number;
  host?: '127.0.0.1';
  username: string;
  password: string;
  state_file?: string;
  version?: string;
  identity?: string;
  /** The challenge login of versions before 6.43. */
  old_login?: boolean;
  /** api-ssl instead of api: with a self-signed certificate, or with none and anonymous Diffie-Hellman. */
  tls?: TlsKind;
  faults?: Partial<Faults>;
  control_port?: number;
  /** What uptimes and counters go by; the system's clock without it. */
  now?: () => number;
  /** Where lines of the state file that can't be loaded are told; by default nowhere. */
  report?: (message: string) => void;
}

export interface SimulatorInfo {
  version: string;
  identity: string;
  port: number;
  tls: TlsKind | null;
  tls_fingerprint: string | null;
  uptime_seconds: number;
  connections: number;
  /** How many are online. */
  sessions: { ppp: number; hotspot: number };
  faults: Faults;
}

export interface Simulator {
  port: number;
  control_port: number | null;
  /** SHA-256 of the certificate in lower-case hex; null where none is shown. */
  tls_fingerprint: string | null;
  router: SimulatedRouter;
  setFaults(faults: Partial<Faults>): void;
  dropConnections(): void;
  /** Connections and live sessions end, the configuration stays; `down_ms` from the faults if none is given. */
  reboot(down_ms?: number): void;
  readInfo(): SimulatorInfo;
  stop(): Promise<void>;
}

export async function startSimulator(options: SimulatorOptions): Promise<Simulator> {
  const { report = ignore, state_file, control_port } = options;
  if (options.password === '') throw new Error('the simulated router needs a password');
  const version = options.version ?? '7.18';
  if (parseVersion(version) === null || !/^[\w.]+$/.test(version))
    throw new Error(`not a RouterOS version: ${version}`);
  const router = new SimulatedRouter({ version, now: options.now });
  const faults: Faults = { ...NO_FAULTS, ...options.faults };
  const tls = options.tls === undefined ? null : await makeRouterTls(options.tls, state_file);
  const { username, password, old_login = false } = options;
  const connections = new Connections({ router, faults, tls, username, password, old_login, report });
  const setFaults = (changes: Partial<Faults>) => {
    Object.assign(faults, changes);
    router.clock_skew_ms = faults.clock_skew_seconds * 1000;
  };
  setFaults({});

  const state = state_file === undefined ? null : new StateFile(router, state_file, report);
  await state?.load();
  if (options.identity !== undefined) router.setSingle('/system/identity', new Map([['name', options.identity]]));
  const port = await listen(connections.server, options.port);
  const tls_fingerprint = tls?.fingerprint ?? null;
  const controlled = {
    router,
    setFaults,
    dropConnections: () => connections.drop(),
    reboot: (down_ms?: number) => connections.reboot(down_ms ?? faults.down_ms),
    readInfo: (): SimulatorInfo => ({
      version,
      identity: router.rows('/system/identity')[0]?.name ?? '',
      port,
      tls: options.tls ?? null,
      tls_fingerprint,
      uptime_seconds: Math.floor((router.now() - router.started_ms) / 1000),
      connections: connections.count,
      sessions: { ppp: router.table('/ppp/active').size, hotspot: router.table('/ip/hotspot/active').size },
      faults: { ...faults },
    }),
  };
  const closeConnections = async () => {
    const closed = closeServer(connections.server);
    connections.drop();
    await closed;
  };
  const control =
    control_port === undefined
      ? null
      : await startControl(control_port, controlled).catch(async (error: unknown) => {
          await closeConnections();
          throw error;
        });
  let stopping: Promise<void> | null = null;
  const stop = async () => {
    await Promise.all([closeConnections(), control?.stop()]);
    await state?.close();
  };
  return {
    ...controlled,
    port,
    control_port: control?.port ?? null,
    tls_fingerprint,
    stop: () => (stopping ??= stop()),
  };
}

const ignore = () => {};
