/** Where the tests in the Worker find a real bridge and a simulated router, both running in Node. */
export type TestNetwork = {
  bridge: TestBridgeAccess;
  /** Takes connections there, and never says anything. */
  silent_port: number;
  router: TestRouterAccess;
};

export type TestBridgeAccess = {
  id: string;
  url: string;
  signing_secret: string;
  public_key: { kty: string; crv: string; x: string; y: string };
};

export type TestRouterAccess = {
  host: string;
  port: number;
  username: string;
  password: string;
  control_url: string;
};

/** What the simulation has to itself: two routers, and a bridge that may be restarted and killed. */
export type SimulationSetup = {
  bridge: TestBridgeAccess;
  routers: TestRouterAccess[];
  /** Takes `POST /restart?how=stop|kill` and `POST /say`. */
  control_url: string;
  options: SimulationOptions;
};

export type SimulationOptions = {
  seed: number;
  schedules: number;
  /** Of fast-check: which schedule of the seed. Empty: all of them. */
  path: string;
  /** Just these instead. */
  steps: { do: string }[] | null;
  /** How long to look for a shorter schedule once one failed. */
  shrink_seconds: number;
  /** Tell what was run, also when all is well. */
  is_told: boolean;
};
