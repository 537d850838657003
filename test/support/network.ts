/** Where the tests in the Worker find a real bridge and a simulated router, both running in Node. */
export type TestNetwork = {
  bridge: {
    id: string;
    url: string;
    signing_secret: string;
    public_key: { kty: string; crv: string; x: string; y: string };
  };
  /** Takes connections there, and never says anything. */
  silent_port: number;
  router: { host: string; port: number; username: string; password: string; control_url: string };
};
