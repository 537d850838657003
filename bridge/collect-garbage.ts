/**
 * Reading thousands of rows leaves ten times their size behind, and a heap that was let grow is given back late: a
 * daemon on a small machine rather cleans up at once. Does nothing unless main.ts started Node with --expose-gc.
 */
export function collectGarbage(): void {
  void globalThis.gc?.();
}
