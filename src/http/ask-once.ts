import { askDoor } from '../door/admission.ts';
import type { Ask } from '../tenancy/enter.ts';
import type { HonoCtx } from './definition.ts';

/** A request is counted once, however often its tenant is looked up. */
export const askOnce =
  (c: HonoCtx): Ask =>
  (name, actor) => {
    const admission = c.var.admission ?? askDoor(c.var.ambient, name, actor);
    c.set('admission', admission);
    return admission;
  };
