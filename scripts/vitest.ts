import './quiet-env.ts';
import { runChild } from './run-child.ts';

runChild(['node_modules/vitest/vitest.mjs', ...process.argv.slice(2)]);
