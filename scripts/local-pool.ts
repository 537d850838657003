/** Bindings of tenant databases for local runs: TENANT_DB_0001 … as many as asked for. */
export function listPoolBindings(size: number): string[] {
  return Array.from({ length: size }, (_, index) => `TENANT_DB_${String(index + 1).padStart(4, '0')}`);
}
