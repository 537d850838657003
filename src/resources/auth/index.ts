import { parseTenantSecret } from '../../auth/tokens.ts';
import { endpoint } from '../../http/endpoint.ts';
import type { Resource } from '../../http/resource.ts';
import { toUser, User } from '../users/index.ts';
import { changePassword, findSelf, logOut, refreshSession } from './actions.ts';
import {
  Credentials,
  LoggedOut,
  PasswordChange,
  PasswordProof,
  RecoveryCodes,
  RefreshInput,
  SecondFactorOff,
  SecondFactorOn,
  SecondFactorProof,
  Session,
  TotpCode,
  TotpSetUp,
} from './schema.ts';
import { beginTotp, confirmTotp, endTotp, renewRecoveryCodes } from './second-factor.ts';
import { userAgentOf } from './session.ts';
import { signIn } from './sign-in.ts';

export { resetTotp } from './second-factor.ts';
export { SecondFactorOff } from './schema.ts';

const COUNTED = 'Counts as a try to sign in.';

export const authResource: Resource = {
  path: '/auth',
  routes: {
    'POST /login': endpoint({
      id: 'auth.login',
      summary: 'Sign in',
      description:
        'The provider is named by subdomain or by X-Tenant-ID (id or slug). Who has a second factor and sends no code gets a ' +
        '401 whose details name `code`. Five tries a minute from one address and for one account, also right ones.',
      needs: 'public',
      body: Credentials,
      returns: { one: Session },
      errors: ['UNAUTHORIZED'],
      run: (ctx, { body, request }) => signIn(ctx, body, userAgentOf(request)),
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
      run: (ctx, { body, request }) => refreshSession(ctx, body, userAgentOf(request)),
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
      needs: 'setting-up',
      returns: { one: User },
      run: async ctx => toUser((await findSelf(ctx)).user),
    }),
    'PUT /password': endpoint({
      id: 'auth.password',
      summary: 'Change one’s own password; ends all other sessions',
      description: COUNTED,
      needs: 'signed-in',
      body: PasswordChange,
      returns: { one: Session },
      errors: ['CONFLICT'],
      run: (ctx, { body, request }) => changePassword(ctx, body, userAgentOf(request)),
    }),
    'POST /totp': endpoint({
      id: 'auth.totp.begin',
      summary: 'Begin to set up a second factor: a secret for an authenticator app',
      description: `Nothing is asked for before a code of it was confirmed. ${COUNTED}`,
      needs: 'setting-up',
      body: PasswordProof,
      returns: { one: TotpSetUp },
      status: 201,
      errors: ['IN_USE'],
      run: (ctx, { body }) => beginTotp(ctx, body.current_password),
    }),
    'POST /totp/confirm': endpoint({
      id: 'auth.totp.confirm',
      summary: 'Confirm the second factor with a code of it; gives recovery codes, and ends all other sessions',
      description: `From now on a code is asked for at each sign-in. Go on with the tokens of the answer. ${COUNTED}`,
      needs: 'setting-up',
      body: TotpCode,
      returns: { one: SecondFactorOn },
      errors: ['INVALID_TRANSITION'],
      run: (ctx, { body, request }) => confirmTotp(ctx, body.code, userAgentOf(request)),
    }),
    'POST /totp/recovery-codes': endpoint({
      id: 'auth.totp.renew_codes',
      summary: 'New recovery codes; those from before are over',
      description: COUNTED,
      needs: 'signed-in',
      body: SecondFactorProof,
      returns: { one: RecoveryCodes },
      errors: ['INVALID_TRANSITION'],
      run: (ctx, { body }) => renewRecoveryCodes(ctx, body),
    }),
    'POST /totp/disable': endpoint({
      id: 'auth.totp.disable',
      summary: 'Take one’s own second factor away',
      description: COUNTED,
      needs: 'signed-in',
      body: SecondFactorProof,
      returns: { one: SecondFactorOff },
      run: (ctx, { body }) => endTotp(ctx, body),
    }),
  },
};
