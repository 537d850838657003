/** Splits what was measured into as many batches as it takes so that none is too large as JSON. */
import type { DeviceMeasurement, RouterMeasurement } from '../src/protocol/messages.ts';

/** Of one router in one batch. */
const MOST_LINES = 20_000;
/** What a letter may take as JSON: `\u0000`. */
const MOST_LETTER_BYTES = 6;
/** Names and numbers of an entry's fields, at most. */
const FRAME_BYTES = 500;

export interface Contents {
  routers: RouterMeasurement[];
  devices: DeviceMeasurement[];
}

/** One that can't be split stays whole. */
export function packBatch({ routers, devices }: Contents, most_bytes: number): Contents[] {
  // nearly always it is small, and that is seen without writing it
  const most = [...routers.map(estimateRouter), ...devices.map(({ host = '' }) => estimate(host))];
  if (most.reduce((sum, bytes) => sum + bytes, 0) < most_bytes) return [{ routers, devices }];
  const parts: Contents[] = [];
  let bytes = Infinity;
  const addPart = (size: number): Contents | undefined => {
    if (bytes + size > most_bytes) {
      parts.push({ routers: [], devices: [] });
      bytes = 0;
    }
    bytes += size;
    return parts.at(-1);
  };
  for (const router of routers.flatMap(entry => splitRouter(entry, most_bytes))) {
    addPart(measure(router))?.routers.push(router);
  }
  for (const device of devices) addPart(measure(device))?.devices.push(device);
  return parts;
}

/** Halves its lines until each half is small enough; the pools go with the first. */
function splitRouter(router: RouterMeasurement, most_bytes: number): RouterMeasurement[] {
  const { lines } = router;
  if (lines === null || lines.length < 2) return [router];
  if (lines.length <= MOST_LINES && measure(router) < most_bytes) return [router];
  const half = Math.ceil(lines.length / 2);
  return [
    ...splitRouter({ ...router, lines: lines.slice(0, half) }, most_bytes),
    ...splitRouter({ ...router, pools: null, lines: lines.slice(half) }, most_bytes),
  ];
}

const measure = (entry: object) => Buffer.byteLength(JSON.stringify(entry)) + 1;

function estimateRouter({ lines, pools, ...facts }: RouterMeasurement): number {
  if ((lines?.length ?? 0) > MOST_LINES) return Infinity;
  let bytes = estimate(...Object.values(facts).filter(value => typeof value === 'string'));
  for (const { name, session_id, address } of lines ?? []) bytes += estimate(name, session_id, address ?? '');
  for (const { name } of pools ?? []) bytes += estimate(name);
  return bytes;
}

function estimate(...texts: string[]): number {
  return FRAME_BYTES + texts.reduce((sum, text) => sum + MOST_LETTER_BYTES * text.length, 0);
}
