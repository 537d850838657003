import { addDays, localDate } from '../../src/lib/time.ts';

/** The calendar of a provider that said nothing of its time zone. In the evening of UTC it is a day further. */
export const dayFromNow = (days: number): string => addDays(localDate(Date.now(), 'Asia/Jakarta'), days);

export const thisMonth = (): string => dayFromNow(0).slice(0, 7);
