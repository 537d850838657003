import path from 'node:path';

/** Tools that would phone home, look for updates or write logs into the home folder don't. */
export const QUIET_ENV = {
  WRANGLER_SEND_METRICS: 'false',
  WRANGLER_SEND_ERROR_REPORTS: 'false',
  WRANGLER_HIDE_BANNER: 'true',
  WRANGLER_WRITE_LOGS: 'false',
  WRANGLER_LOG_PATH: path.resolve('.wrangler/logs'),
  WRANGLER_REGISTRY_PATH: path.resolve('.wrangler/registry'),
  CLOUDFLARE_CF_FETCH_ENABLED: 'false',
  CLOUDFLARE_LOAD_DEV_VARS_FROM_DOT_ENV: 'false',
  NO_UPDATE_NOTIFIER: '1',
  REDOCLY_TELEMETRY: 'off',
};

Object.assign(process.env, QUIET_ENV);
