import type { MiddlewareHandler } from 'hono';
import { rateLimiter, type Store } from 'hono-rate-limiter';
import { addressOf, askDoor } from '../door/admission.ts';
import { addressLimit } from '../door/limits.ts';
import type { App, HonoCtx } from './definition.ts';

/** Routes without a tenant: an object named by the address counts. (Those of a tenant ask beside their first read instead.) */
export const limitAddress: MiddlewareHandler<App> = (c, next) => {
  const { address, limit } = addressOfCaller(c);
  return rateLimiter<App>({
    windowMs: limit.window_ms,
    limit: limit.most,
    // written for all answers alike, in app.ts
    standardHeaders: false,
    keyGenerator: () => address,
    store: makeStore(c, limit.most),
    handler: () => c.var.admission!.granted(),
  })(c, next);
};

function addressOfCaller(c: HonoCtx) {
  const { subject, limit } = addressLimit(c.env, addressOf(c.var.ambient));
  return { address: subject, limit };
}

/** The count in the address's object; where nobody can count it, nothing is counted. */
function makeStore(c: HonoCtx, most: number): Store<App> {
  return {
    increment: async address => {
      const admission = askDoor(c.var.ambient, `address:${address}`);
      c.set('admission', admission);
      const is_refused = await admission.granted().then(
        () => false,
        () => true,
      );
      const left = admission.policies()[0]?.remaining ?? most;
      return { totalHits: is_refused ? most + 1 : most - left };
    },
    decrement: () => {},
    resetKey: () => {},
  };
}
