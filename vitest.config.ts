import { cloudflareTest } from '@cloudflare/vitest-plugin';
import { defineConfig, type TestProjectConfiguration } from 'vitest/config';
import { listPoolBindings } from './scripts/local-pool.ts';

const TENANT_DATABASES = 6;

/** Several parts run side by side, on machines that are busy with others: only what fails waits so long. */
const PATIENT = { testTimeout: 900_000, hookTimeout: 300_000, teardownTimeout: 60_000, expect: { poll: { timeout: 60_000 } } }; // prettier-ignore

/** Tests in the Workers runtime. Each project has a workerd, a bridge and routers of its own: two may go side by side. */
const inWorkers = (name: string): TestProjectConfiguration => ({
  plugins: [
    cloudflareTest(({ inject }) => ({
      wrangler: { configPath: './wrangler.toml' },
      miniflare: {
        d1Databases: Object.fromEntries(listPoolBindings(TENANT_DATABASES).map(name => [name, name.toLowerCase()])),
        bindings: {
          BASE_DOMAIN: 'rukun.test',
          SIGNUP: 'open',
          LIMIT_SIGNUP_PER_HOUR: '5',
          // what is tested is rarely the limits: those tests set them themselves
          LIMIT_USER_PER_MINUTE: '1000000',
          LIMIT_ADDRESS_PER_MINUTE: '1000000',
          LIMIT_SIGNIN_PER_MINUTE: '1000000',
          LIMITER_PATIENCE_MS: '30000',
          PASSWORD_COST: '4',
          ALLOW_LOOPBACK_BRIDGE: 'yes',
          LOG_REQUESTS: 'no',
          ...inject('secrets'),
          TEST_NETWORK: inject('network'),
          TEST_ROTATION: inject('rotation'),
          TEST_SIMULATION: inject('simulation'),
          TEST_ACCOUNTS: inject('accounts'),
          TEST_FUZZ: inject('fuzz'),
        },
      },
    })),
  ],
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    globalSetup: ['./test/support/global-setup.ts'],
    setupFiles: ['./test/support/setup.ts'],
    // one workerd for all files; setup.ts empties all storage before each test
    isolate: false,
    maxWorkers: 1,
    ...PATIENT,
  },
});

export default defineConfig({
  test: {
    reporters: ['default', './scripts/count-reporter.ts'],
    projects: [
      inWorkers('worker'),
      inWorkers('network'),
      {
        test: {
          name: 'node',
          include: ['test/node/**/*.test.ts', 'bridge/test/**/*.test.ts'],
          environment: 'node',
          ...PATIENT,
        },
      },
    ],
  },
});
