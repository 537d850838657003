import type { Env } from '../env.ts';
import { Fault } from '../errors.ts';

/** DejaVu Sans, which the build step lays beside the pages: too big for the bundle, and rarely needed. */

export interface Fonts {
  regular: Uint8Array;
  bold: Uint8Array;
}

const FOLDER = 'http://assets.local/docs-assets/vendor';

/** Of this isolate, once it has them. */
let kept: Fonts | null = null;

export async function loadFonts(env: Env): Promise<Fonts> {
  if (!kept) {
    const [regular, bold] = await Promise.all([loadFile(env, 'DejaVuSans.ttf'), loadFile(env, 'DejaVuSans-Bold.ttf')]);
    kept = { regular, bold };
  }
  return kept;
}

async function loadFile(env: Env, name: string): Promise<Uint8Array> {
  const response = await env.ASSETS.fetch(`${FOLDER}/${name}`);
  if (!response.ok) throw new Fault(`the font ${name} is not among the assets (${response.status})`);
  return new Uint8Array(await response.arrayBuffer());
}
