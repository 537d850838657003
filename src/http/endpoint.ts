import { zValidator } from '@hono/zod-validator';
import { OpenAPIRoute } from 'chanfana';
import type { MiddlewareHandler } from 'hono';
import { createMiddleware } from 'hono/factory';
import { z } from 'zod';
import { roleMay, type Permission } from '../auth/permissions.ts';
import type { Actor, PlatformContext } from '../context.ts';
import { RaceLost, StaleTenant } from '../db/commit.ts';
import { DoneBefore } from '../db/session.ts';
import { AppError, TakenMeanwhile, unauthorized } from '../errors.ts';
import { forgetTenants } from '../tenancy/directory.ts';
import { type Entrance, enterTenant } from '../tenancy/enter.ts';
import { admitBridge } from './admit-bridge.ts';
import { answer } from './answer.ts';
import { askOnce } from './ask-once.ts';
import type {
  AnyDefinition,
  App,
  Endpoint,
  HonoCtx,
  PlatformDefinition,
  Returns,
  Schema,
  TenantDefinition,
} from './definition.ts';
import { describe } from './document.ts';
import { keepAnswer, takeIdempotencyKey } from './idempotency.ts';
import { limitAddress } from './limit-address.ts';
import { checkBody, pathParams, readRawBody, refuse } from './request.ts';

/**
 * The one adapter between Hono, chanfana and zod: tenant and permission first, then the request's shape, then the
 * action, and the answer through its schema.
 */

/** An endpoint of a tenant: reached only with the tenant's database at hand. */
export function endpoint<
  R extends Returns,
  P extends Schema | undefined = undefined,
  Q extends Schema | undefined = undefined,
  B extends Schema | undefined = undefined,
>(definition: TenantDefinition<P, Q, B, R>): Endpoint {
  return buildEndpoint(definition as unknown as AnyDefinition);
}

/** An endpoint before any tenant: signing up. */
export function platformEndpoint<
  R extends Returns,
  P extends Schema | undefined = undefined,
  Q extends Schema | undefined = undefined,
  B extends Schema | undefined = undefined,
>(definition: PlatformDefinition<P, Q, B, R>): Endpoint {
  return buildEndpoint({ ...definition, needs: 'platform' } as unknown as AnyDefinition);
}

function buildEndpoint(definition: AnyDefinition): Endpoint {
  const query = definition.query ?? z.strictObject({});
  return {
    definition,
    handlers: (path, method) => {
      const params = definition.params ?? pathParams(path);
      const checks = [
        ...(params ? [zValidator('param', params, refuse) as MiddlewareHandler<App>] : []),
        zValidator('query', query, refuse) as MiddlewareHandler<App>,
        ...checkBody(definition),
      ];
      // permission comes before anything of the request is looked at, except where the body says whose it is
      const is_told_by_body = typeof definition.tenantOf === 'function';
      const steps = is_told_by_body ? [...checks, admit(definition)] : [admit(definition), ...checks];
      // a PATCH is the PUT under another method, and needs another name in the document
      const id = method === 'patch' ? `${definition.id}.patch` : definition.id;
      return [...refuseInPages(definition), ...steps, routeClass({ ...definition, id }, params, method)];
    },
  };
}

/** Before anything can be refused. */
function refuseInPages({ returns }: AnyDefinition): MiddlewareHandler<App>[] {
  if (!('html' in returns)) return [];
  const set = createMiddleware<App>(async (c, next) => {
    c.set('showRefusal', returns.html);
    await next();
  });
  return [set];
}

/** Who names the tenant, beside header and subdomain. */
function readName(c: HonoCtx, { tenantOf }: AnyDefinition): Entrance['named'] {
  if (tenantOf === undefined) return null;
  if (tenantOf === 'path') return { by: 'path', name: c.req.param('tenant')! };
  const name = tenantOf(c.req.valid('json' as never));
  if (name === null) throw unauthorized();
  return { by: 'secret', name };
}

/** Throws when the caller may not. */
function mayCall(actor: Actor, needs: AnyDefinition['needs']): void {
  if (needs === 'public') return;
  if (actor.kind !== 'user') throw new AppError('FORBIDDEN');
  if (needs === 'setting-up') return;
  if (actor.lacks_second_factor)
    throw new AppError('FORBIDDEN', 'Your role asks for a second factor: set it up first (POST /auth/totp).');
  if (needs !== 'signed-in' && !roleMay(actor.role, needs as Permission)) throw new AppError('FORBIDDEN');
}

/** Tenant, caller and permission. */
function admit(definition: AnyDefinition): MiddlewareHandler<App> {
  const { needs } = definition;
  if (needs === 'bridge') return admitBridge(definition);
  if (needs === 'platform') return limitAddress;
  return createMiddleware<App>(async (c, next) => {
    const entrance = { is_public: needs === 'public', named: readName(c, definition) };
    const enter = () => enterTenant(c.var.ambient, c.req.raw, entrance, askOnce(c));
    const ctx = await enter();
    c.set('ctx', ctx);
    c.set('enter', enter);
    mayCall(ctx.actor, needs);
    await next();
  });
}

/** Of many who write to the same row at once, one comes through each time. */
const MOST_TRIES = 12;
/** What is taken again and again isn't chosen at all. */
const MOST_CHOICES = 4;

/** A unique column that nobody sent: what was chosen for it was taken meanwhile, so it is chosen anew. */
const choseWhatIsTaken = (error: unknown, body: unknown): boolean =>
  error instanceof TakenMeanwhile && !(error.field in Object(body));

/** Runs the action; when it lost a race or held a stale database, nothing was stored and it runs again. */
async function runAction(c: HonoCtx, definition: AnyDefinition, input: { body: unknown }): Promise<unknown> {
  const run = definition.run as (ctx: PlatformContext, input: unknown) => Promise<unknown>;
  if (definition.needs === 'platform') return run({ ...c.var.ambient, admission: c.var.admission! }, input);
  for (let tries = 1; ; tries++) {
    try {
      return await run(c.var.ctx, input);
    } catch (error) {
      if (error instanceof DoneBefore) return answerAgain(c, definition, error);
      if (c.var.ctx.idempotency) c.var.ctx.idempotency.is_checked = false;
      const again =
        error instanceof RaceLost ||
        error instanceof StaleTenant ||
        (tries < MOST_CHOICES && choseWhatIsTaken(error, input.body));
      if (!again) throw error;
      if (tries === MOST_TRIES) throw new AppError('CONFLICT');
      if (error instanceof StaleTenant) {
        forgetTenants();
        const { idempotency } = c.var.ctx;
        c.set('ctx', { ...(await c.var.enter()), idempotency });
      }
    }
  }
}

/** As it was answered then; where that was lost on the way, what came of it as it stands now. */
async function answerAgain(c: HonoCtx, { idempotency }: AnyDefinition, done: DoneBefore): Promise<unknown> {
  const { key } = c.var.ctx.idempotency!;
  const ctx = { ...c.var.ctx, idempotency: null };
  c.set('ctx', ctx);
  c.header('Idempotent-Replayed', 'true');
  return done.response === null ? idempotency!.again(ctx, done.subject_id, key) : JSON.parse(done.response);
}

/** Whether the other form of the answer is asked for; what names neither takes the default. */
function wantsFile(c: HonoCtx, { returns }: AnyDefinition): boolean {
  if (!('one' in returns) || !returns.or_file) return false;
  const accept = c.req.header('accept') ?? '';
  const { type, by_default } = returns.or_file;
  return by_default ? !accept.includes('application/json') : accept.includes(type);
}

function routeClass(definition: AnyDefinition, params: Schema | null, method: string): typeof OpenAPIRoute {
  // there is an instance for each request
  const schema = describe(definition, params, method);
  return class extends OpenAPIRoute {
    override schema = schema;

    override async handle(c: HonoCtx): Promise<Response> {
      const valid = (target: string): unknown => c.req.valid(target as never);
      const query = valid('query') as Record<string, unknown>;
      const accepts_json = definition.body && (definition.accepts ?? 'json') === 'json';
      const input = {
        params: params ? valid('param') : undefined,
        query,
        body: accepts_json ? valid('json') : definition.body ? await readRawBody(c, definition) : undefined,
        wants_file: wantsFile(c, definition),
        request: c.req.raw,
      };
      await takeIdempotencyKey(c, definition, input.body);
      const result = await runAction(c, definition, input);
      await c.var.admission?.granted();
      if (definition.idempotency) keepAnswer(c.var.ctx, (definition.returns as { one: Schema }).one.parse(result));
      return answer(c, definition, query, result);
    }
  };
}
