interface ModuleRunner {
  import: (specifier: string) => Promise<unknown>;
}

/**
 * The plugin has the vitest process asked for the Worker's module at each request and at each call of a Durable Object,
 * though it was loaded long ago; that costs more than most requests do. Here the first answer is kept.
 */
export function keepImports(): void {
  const { moduleRunner } = (globalThis as unknown as { __vitest_mocker__: { moduleRunner: ModuleRunner } })
    .__vitest_mocker__;
  const load = moduleRunner.import.bind(moduleRunner);
  let worker: unknown;
  moduleRunner.import = async specifier => {
    if (!specifier.endsWith('/src/worker.ts')) return load(specifier);
    worker ??= await load(specifier);
    return worker;
  };
}
