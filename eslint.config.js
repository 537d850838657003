import tseslint from 'typescript-eslint';

/** The rules of the architecture, as far as a linter can hold them; prettier does the looks. */

const IO = [
  '**/db/**',
  '**/context.ts',
  '**/env.ts',
  'hono',
  'hono/*',
  'drizzle-orm',
  'drizzle-orm/*',
  'cloudflare:*',
  'node:*',
];
const forbidImports = patterns => ({ 'no-restricted-imports': ['error', { patterns }] });

const AMBIENT = [
  {
    selector: "CallExpression[callee.object.name='Date'][callee.property.name='now']",
    message: 'The clock is ctx.now.',
  },
  { selector: "NewExpression[callee.name='Date'][arguments.length=0]", message: 'The clock is ctx.now.' },
  {
    selector: "CallExpression[callee.object.name='Math'][callee.property.name='random']",
    message: 'Chance is ctx.random().',
  },
  { selector: "CallExpression[callee.property.name='randomUUID']", message: 'Ids are ctx.newId().' },
];
const BATCH = {
  selector: "CallExpression[callee.property.name='batch']",
  message: 'Only db/ sends batches: read() or commit().',
};

export default tseslint.config(
  {
    ignores: [
      'public/docs-assets/vendor',
      'public/live-assets',
      'node_modules',
      'dist',
      '.wrangler',
      '.state',
      'client/generated',
    ],
  },
  ...tseslint.configs.recommended,
  {
    rules: {
      'no-console': 'error',
      'max-lines': ['error', { max: 400, skipBlankLines: true, skipComments: true }],
      'max-lines-per-function': ['error', { max: 75, skipBlankLines: true, skipComments: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
    },
  },
  { files: ['src/**'], rules: { 'no-restricted-syntax': ['error', ...AMBIENT, BATCH] } },
  { files: ['src/context.ts'], rules: { 'no-restricted-syntax': ['error', BATCH] } },
  // migrations run whole files before there is a tenant to speak of
  { files: ['src/db/session.ts', 'src/tenancy/migrate.ts'], rules: { 'no-restricted-syntax': ['error', ...AMBIENT] } },
  {
    files: [
      'src/**/rules.ts',
      'src/lib/**',
      'src/provisioning/diff.ts',
      'src/provisioning/desired.ts',
      'src/billing/{charges,growth,numbers,periods,settlement,words}.ts',
    ],
    rules: forbidImports([{ group: IO, message: 'Pure: no context, clock or database here.' }]),
  },
  {
    files: ['src/resources/*/*.ts'],
    rules: forbidImports([
      {
        regex: '^\\.\\./(?!\\.\\.)[^/]+/(?!index\\.ts|table\\.ts)',
        message: 'A resource shows others its index (and its table).',
      },
    ]),
  },
  {
    files: ['src/resources/*/rules.ts'],
    rules: forbidImports([{ group: IO, message: 'Pure: no context, clock or database here.' }]),
  },
  {
    files: ['bridge/**'],
    rules: forbidImports([
      {
        regex: '/src/(?!protocol/|provisioning/diff\\.ts|lib/routeros/)',
        message: 'Of src the bridge knows the protocol, the diff and what RouterOS values mean.',
      },
    ]),
  },
  {
    files: ['client/**', 'web/**'],
    rules: {
      ...forbidImports([
        {
          regex: '/src/(?!lib/|auth/permissions\\.ts)',
          message: 'Of src what runs elsewhere knows what is pure, and who may do what.',
        },
      ]),
      'no-restricted-properties': [
        'error',
        ...['innerHTML', 'outerHTML', 'insertAdjacentHTML'].map(property => ({
          property,
          message: 'Data becomes text, never markup.',
        })),
      ],
    },
  },
  { files: ['src/log.ts'], rules: { 'no-console': 'off' } },
  {
    files: ['test/**', 'bridge/test/**'],
    rules: { 'max-lines': 'off', 'max-lines-per-function': 'off', '@typescript-eslint/no-explicit-any': 'off' },
  },
);
