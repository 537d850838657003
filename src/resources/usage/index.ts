import { z } from 'zod';
import { DateText } from '../../http/fields.ts';
import { list, within } from '../../http/list.ts';
import { usage_daily } from './table.ts';

export { usage_daily } from './table.ts';

export const DailyUsage = z
  .object({
    date: DateText.describe('A day in the provider’s time zone.'),
    download_bytes: z.int(),
    upload_bytes: z.int(),
    average_download_kbps: z.int(),
    average_upload_kbps: z.int(),
    most_download_kbps: z.int(),
    most_upload_kbps: z.int(),
    online_seconds: z.int(),
  })
  .meta({ id: 'DailyUsage' });

/** The days of one customer, newest first. */
export const usage_list = list({
  table: usage_daily,
  filters: { date: within(usage_daily.date, DateText) },
  sort: ['date'],
  default_sort: '-date',
  ties: [usage_daily.date],
  fields: Object.keys(DailyUsage.shape),
});
