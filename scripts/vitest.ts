import './quiet-env.ts';
// the plugin for Workers serves assets, but doesn't run wrangler's build step
import './build-assets.mjs';
import { runChild } from './run-child.ts';

runChild(['node_modules/vitest/vitest.mjs', ...process.argv.slice(2)]);
