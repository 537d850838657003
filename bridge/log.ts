/** One JSON line for each thing that happened. Details are plain values, so that no object with a secret slips in. */
export type Log = (event: string, details?: Record<string, string | number | boolean | null>) => void;

export function makeLog(write: (line: string) => void, now: () => number = Date.now): Log {
  return (event, details = {}) => {
    write(`${JSON.stringify({ time: new Date(now()).toISOString(), event, ...details })}\n`);
  };
}

/** What may be said of an error that nobody foresaw: its kind and code, not its text, which may quote anything. */
export function nameError(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error';
  return 'code' in error ? `${error.name} ${String(error.code)}` : error.name;
}
