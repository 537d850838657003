import './quiet-env.ts';
import { runChild } from './run-child.ts';

runChild(['--no-warnings', 'node_modules/wrangler/wrangler-dist/cli.js', ...process.argv.slice(2)]);
