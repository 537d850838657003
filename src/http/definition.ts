import type { OpenAPIRoute } from 'chanfana';
import type { Context as HonoContext, MiddlewareHandler } from 'hono';
import type { z } from 'zod';
import type { Permission } from '../auth/permissions.ts';
import type { Ambient, Context, PlatformContext, Tenant } from '../context.ts';
import type { Admission } from '../door/admission.ts';
import type { Env } from '../env.ts';
import type { AppError, ErrorCode } from '../errors.ts';
import type { HtmlPage } from './page.ts';

/** What an endpoint is made of, as types: the call site that resources write, and what the adapter keeps of it. */

export interface AppVariables {
  ambient: Ambient;
  /** Set once the tenant and the caller are known. */
  ctx: Context;
  /** Looks tenant and caller up anew: for a retry after the tenant's database was switched. */
  enter: () => Promise<Context>;
  /** Set once a limiter was asked. */
  admission?: Admission;
  /** Set for a caller whose answers are signed. */
  signAnswer?: (status: number, body: string) => Promise<string>;
  /** Set where people look: refusals are pages too. */
  showRefusal?: ShowRefusal;
  /** It is the same request under another path, and tells of itself there. */
  is_forwarded?: boolean;
}
export type App = { Bindings: Env; Variables: AppVariables };
export type HonoCtx = HonoContext<App>;

/** A page of rows with how many there are in all, and what else is to be said of them. */
export interface Page<T> {
  rows: T[];
  total: number;
  meta?: Record<string, unknown>;
}

export type Schema = z.ZodType;
type Output<S> = S extends Schema ? z.output<S> : undefined;

interface Inputs<P, Q, B> {
  /** The path's `:id`, unless the endpoint declares other parameters. */
  params: P extends Schema ? z.output<P> : { id: string };
  query: Output<Q>;
  body: Output<B>;
  /** The caller wants the file that `or_file` names. */
  wants_file: boolean;
  /** As it came: for what passes it on. */
  request: Request;
}

/** How a refusal looks to people. No tenant: it isn't known, or not open. `lang` is what the query asks for. */
export type ShowRefusal = (
  refusal: AppError,
  seen: { tenant: Tenant | null; lang?: string; request_id: string },
) => HtmlPage;

export interface OtherForm {
  type: string;
  /** Also for callers who name no type; JSON then is for those who ask for it. */
  by_default: boolean;
}

/** What an endpoint gives: one thing, a page of things, HTML (its refusals too), or a Response of its own (files, sockets). */
export type Returns =
  | { one: Schema; /** The same as a file, where the caller asks for one of this type. */ or_file?: OtherForm }
  | { list: Schema; meta?: z.ZodObject }
  | { html: ShowRefusal }
  | { file: string[]; /** It comes with an ETag, and needn't be sent again. */ has_etag?: boolean }
  /** A WebSocket of this subprotocol: what it says, and what it is told. */
  | { socket: string; sends: Schema; takes: Schema };

type ResultOf<R> = R extends { one: infer S extends Schema; or_file: OtherForm }
  ? z.input<S> | Response
  : R extends { one: infer S extends Schema }
    ? z.input<S>
    : R extends { list: infer S extends Schema }
      ? Page<z.input<S>>
      : R extends { html: ShowRefusal }
        ? HtmlPage
        : Response;

interface Common<P, Q, B, R> {
  /** `customers.create`: unique, and the operationId of the document. */
  id: string;
  summary: string;
  description?: string;
  params?: P;
  query?: Q;
  body?: B;
  /** What the body is. `json` unless told. */
  accepts?: 'json' | 'text' | 'form' | 'multipart';
  most_bytes?: number;
  returns: R;
  status?: 200 | 201 | 202;
  /** Refusals of its own, beyond those that follow from its inputs. */
  errors?: ErrorCode[];
}

export interface TenantDefinition<P, Q, B, R> extends Common<P, Q, B, R> {
  /**
   * A permission, or `signed-in` (any user), `setting-up` (also one who has still to set up a second factor), or `public` (no token: the tenant comes from header or subdomain), or
   * `bridge` (no user: signed with a bridge's secret, and answered so).
   */
  needs: Permission | 'signed-in' | 'setting-up' | 'public' | 'bridge';
  /** For public endpoints whose body holds a token that names its tenant, or whose path says it: `:tenant`. */
  tenantOf?: ((body: Output<B>) => string | null) | 'path';
  /** Takes an `Idempotency-Key`; `again` gives the answer anew of what it made, by the id that was named with `nameMade`. */
  idempotency?: {
    key: 'required' | 'optional';
    again: (ctx: Context, subject_id: string, key: string) => Promise<ResultOf<R>>;
  };
  run(ctx: Context, input: Inputs<P, Q, B>): Promise<ResultOf<R>>;
}

export interface PlatformDefinition<P, Q, B, R> extends Common<P, Q, B, R> {
  run(ctx: PlatformContext, input: Inputs<P, Q, B>): Promise<ResultOf<R>>;
}

/** A definition whose types no longer matter: what the machinery works on. */
export type AnyDefinition = Common<Schema | undefined, Schema | undefined, Schema | undefined, Returns> & {
  needs: Permission | 'signed-in' | 'setting-up' | 'public' | 'bridge' | 'platform';
  tenantOf?: ((body: never) => string | null) | 'path';
  idempotency?: {
    key: 'required' | 'optional';
    again: (ctx: Context, subject_id: string, key: string) => Promise<unknown>;
  };
  run(ctx: never, input: never): Promise<unknown>;
};

/** An endpoint ready to be mounted: what is known of it, and the handlers that serve it. */
export interface Endpoint {
  definition: AnyDefinition;
  handlers: (path: string, method: string) => [...MiddlewareHandler<App>[], typeof OpenAPIRoute];
}
