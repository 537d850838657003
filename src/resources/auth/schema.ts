import { z } from 'zod';
import { Id } from '../../http/fields.ts';
import { NewPassword, User } from '../users/index.ts';

export const Credentials = z
  .strictObject({ email: z.string().trim().toLowerCase().min(1).max(254), password: z.string().min(1).max(200) })
  .meta({ id: 'Credentials' });

export const RefreshInput = z.strictObject({ refresh_token: z.string().min(1).max(200) }).meta({ id: 'RefreshInput' });

export const PasswordChange = z
  .strictObject({ current_password: z.string().min(1).max(200), new_password: NewPassword })
  .meta({ id: 'PasswordChange' });

export const Session = z
  .object({
    access_token: z.string().describe('RS256, 15 minutes; keys at /.well-known/jwks.json.'),
    refresh_token: z.string().describe('Opaque, 7 days; each use gives a new one and spends it.'),
    token_type: z.literal('Bearer'),
    expires_in: z.int().describe('Seconds that the access token lives.'),
    user: User,
    tenant: z
      .object({
        id: Id,
        slug: z.string(),
        name: z.string(),
        timezone: z.string(),
        currency: z.string(),
        locale: z.string(),
      })
      .describe('The provider: whose customers these are, and how it writes times and amounts.'),
  })
  .meta({ id: 'Session' });

export const LoggedOut = z.object({ logged_out: z.literal(true) }).meta({ id: 'LoggedOut' });
