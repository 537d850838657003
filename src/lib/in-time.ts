import { Fault } from '../errors.ts';

/** What never answers has failed: the work's answer, or an error with that complaint. The work itself goes on. */
export async function inTime<T>(work: Promise<T>, patience_ms: number, complaint: string): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Fault(complaint)), patience_ms);
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
