import './quiet-env.ts';
import { spawnSync } from 'node:child_process';
import { createConfig, formatProblems, getTotals, lintFromString } from '@redocly/openapi-core';
import { generateClient } from './openapi.ts';

/** `npm run check`: the API's document, format, lint, types. Each says what is wrong; any of them fails the whole. */

const RULES = {
  extends: ['recommended'],
  rules: {
    // the licence is the owner's to choose; the server is wherever the document was read
    'info-license': 'off',
    'no-server-example.com': 'off',
    // a socket opens with 101
    'operation-2xx-response': 'off',
    'operation-4xx-response': 'error',
    'operation-operationId': 'error',
    'operation-operationId-unique': 'error',
    'security-defined': 'error',
  },
} as const;

async function checkDocument(): Promise<boolean> {
  const document = await generateClient();
  const config = await createConfig(RULES as never);
  const problems = await lintFromString({ source: JSON.stringify(document), absoluteRef: 'openapi.json', config });
  const totals = getTotals(problems);
  formatProblems(problems, { totals, format: 'codeframe', version: '', maxProblems: 20 });
  return totals.errors + totals.warnings === 0;
}

function runTool(name: string, args: string[]): boolean {
  const { status } = spawnSync(process.execPath, args, { stdio: 'inherit' });
  process.stdout.write(`${status === 0 ? 'ok    ' : 'FAILED'} ${name}\n`);
  return status === 0;
}

const document_ok = await checkDocument();
process.stdout.write(`${document_ok ? 'ok    ' : 'FAILED'} openapi.json\n`);
const tools_ok = [
  runTool('format', ['node_modules/prettier/bin/prettier.cjs', '--check', '--log-level', 'warn', '.']),
  runTool('lint', ['node_modules/eslint/bin/eslint.js', '.', '--max-warnings', '0']),
  runTool('types of the Worker', ['node_modules/typescript/bin/tsc', '-p', '.']),
  runTool('types of bridge, scripts and client', ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.node.json']),
  runTool('types of the dashboard', ['node_modules/typescript/bin/tsc', '-p', 'web']),
];
process.exit(document_ok && tools_ok.every(Boolean) ? 0 : 1);
