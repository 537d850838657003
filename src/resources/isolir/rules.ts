import { toE164 } from '../../lib/text.ts';
import type { CustomerRow } from '../customers/table.ts';

/** Whose bill may be seen, and what of it: pure. */

/** As codes are stored, whatever a phone's keyboard makes of them. */
export const foldCode = (typed: string): string => typed.trim().toUpperCase();

const digitsOf = (text: string): string => text.replace(/\D/g, '');

/** However a number is written, it ends the same: what tries of it are counted by, before its country is known. */
export const phoneTail = (typed: string): string => digitsOf(typed).slice(-8);

type Subscriber = Pick<CustomerRow, 'full_name' | 'phone' | 'phone_e164'>;

/** As E.164 where both can be told so, else digit by digit. */
export function isPhoneOf({ phone, phone_e164 }: Subscriber, typed: string, country: string): boolean {
  if (phone === null) return false;
  const [given, known] = [toE164(typed, country), phone_e164 ?? toE164(phone, country)];
  if (given !== null && known !== null) return given === known;
  return digitsOf(typed) !== '' && digitsOf(typed) === digitsOf(phone);
}

/** Enough to see that it is oneself. */
export const firstName = (full_name: string): string => full_name.trim().split(/\s+/)[0]!;

/** Suspended, and not for what is owed: paying changes nothing. */
export const isLimitedOtherwise = ({ status, suspension_reason }: Pick<CustomerRow, 'status' | 'suspension_reason'>) =>
  status === 'suspended' && suspension_reason !== null && suspension_reason !== 'overdue';
