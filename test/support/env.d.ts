import type { Env as WorkerEnv } from '../../src/env.ts';
import type { AccountOptions } from './account-model/options.ts';
import type { FuzzOptions } from './fuzz/options.ts';
import type { SimulationSetup, TestNetwork } from './network.ts';

declare global {
  namespace Cloudflare {
    interface Env extends WorkerEnv {
      TEST_NETWORK: TestNetwork;
      /** Where bridges are made whose keys may change. */
      TEST_ROTATION: string;
      TEST_SIMULATION: SimulationSetup;
      TEST_ACCOUNTS: AccountOptions;
      TEST_FUZZ: FuzzOptions;
    }
  }
}
