import { parseTenantSecret } from '../../auth/tokens.ts';
import { endpoint } from '../../http/endpoint.ts';
import type { Resource } from '../../http/resource.ts';
import { User } from '../users/index.ts';
import { changePassword, getSelf, logOut, refreshSession, signIn } from './actions.ts';
import { Credentials, LoggedOut, PasswordChange, RefreshInput, Session } from './schema.ts';

export const authResource: Resource = {
  path: '/auth',
  routes: {
    'POST /login': endpoint({
      id: 'auth.login',
      summary: 'Sign in',
      description: 'The provider is named by subdomain or by X-Tenant-ID (id or slug).',
      needs: 'public',
      body: Credentials,
      returns: { one: Session },
      errors: ['UNAUTHORIZED'],
      run: (ctx, { body }) => signIn(ctx, body),
    }),
    'POST /refresh': endpoint({
      id: 'auth.refresh',
      summary: 'Exchange a refresh token for a new pair',
      description: 'The token is spent by it. Using a spent one ends all sessions that came from the same sign-in.',
      needs: 'public',
      body: RefreshInput,
      tenantOf: body => parseTenantSecret(body.refresh_token)?.tenant_id ?? null,
      returns: { one: Session },
      errors: ['UNAUTHORIZED', 'TENANT_MISMATCH', 'CONFLICT'],
      run: (ctx, { body }) => refreshSession(ctx, body),
    }),
    'POST /logout': endpoint({
      id: 'auth.logout',
      summary: 'Sign out: end the session of a refresh token',
      needs: 'public',
      body: RefreshInput,
      tenantOf: body => parseTenantSecret(body.refresh_token)?.tenant_id ?? null,
      returns: { one: LoggedOut },
      errors: ['UNAUTHORIZED', 'TENANT_MISMATCH'],
      run: (ctx, { body }) => logOut(ctx, body),
    }),
    'GET /me': endpoint({
      id: 'auth.me',
      summary: 'The signed-in user',
      needs: 'signed-in',
      returns: { one: User },
      run: ctx => getSelf(ctx),
    }),
    'PUT /password': endpoint({
      id: 'auth.password',
      summary: 'Change one’s own password; ends all other sessions',
      needs: 'signed-in',
      body: PasswordChange,
      returns: { one: Session },
      errors: ['CONFLICT'],
      run: (ctx, { body }) => changePassword(ctx, body),
    }),
  },
};
