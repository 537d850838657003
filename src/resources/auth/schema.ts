import { z } from 'zod';
import { TOTP_CODE } from '../../auth/second-factor.ts';
import { Id } from '../../http/fields.ts';
import { NewPassword, User } from '../users/index.ts';

const AnyCode = z
  .string()
  .trim()
  .min(6)
  .max(19)
  .describe('Of the second factor, where there is one: six digits of the app, or a recovery code. Each is good once.');

export const Credentials = z
  .strictObject({
    email: z.string().trim().toLowerCase().min(1).max(254),
    password: z.string().min(1).max(200),
    code: AnyCode.optional(),
  })
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
    must_set_up_second_factor: z
      .boolean()
      .describe(
        'The role asks for a second factor: until it is set up and the session renewed, nothing else may be done.',
      ),
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

export const PasswordProof = z
  .strictObject({ current_password: z.string().min(1).max(200) })
  .meta({ id: 'PasswordProof' });

export const SecondFactorProof = PasswordProof.extend({ code: AnyCode.optional() }).meta({ id: 'SecondFactorProof' });

export const TotpCode = z
  .strictObject({ code: z.string().trim().regex(TOTP_CODE, 'is not six digits') })
  .meta({ id: 'TotpCode' });

export const TotpSetUp = z
  .object({
    secret: z.string().describe('Base32, for typing in. Shown once.'),
    uri: z.string().describe('`otpauth://…`, for a QR code.'),
  })
  .meta({ id: 'TotpSetUp' });

export const RecoveryCodes = z
  .object({ recovery_codes: z.array(z.string()).describe('Each is good once. Shown once.') })
  .meta({ id: 'RecoveryCodes' });

export const SecondFactorOn = Session.extend(RecoveryCodes.shape).meta({ id: 'SecondFactorOn' });

export const SecondFactorOff = z.object({ has_second_factor: z.literal(false) }).meta({ id: 'SecondFactorOff' });
