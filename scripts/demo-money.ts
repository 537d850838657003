import { setTimeout as sleep } from 'node:timers/promises';
import { unwrap, type RukunClient } from '../client/index.ts';
import { addDays, localDate, startOfMonth } from '../src/lib/time.ts';

/** The demo ISP's money: how to pay, invoices of the coming month, and some who have paid. Once. */

const HOW_TO_PAY = `Tunai: loket RW 02, Senin–Sabtu 08.00–17.00
Transfer: BCA 123 456 7890 a.n. Ayu Lestari
Sebutkan kode pelanggan Anda.`;

/** What each of the first few brings to the counter: in whole, in part, and more than is owed. */
const PAID = [150_000, 100_000, 400_000];

export async function fillMoney(client: RukunClient): Promise<void> {
  const invoices = await client.GET('/api/v1/invoices', { params: { query: { per_page: 1 } } });
  if (unwrap(invoices).length > 0) return;
  unwrap(await client.PUT('/api/v1/settings', { body: { payment_instructions: HOW_TO_PAY } }));
  await runBilling(client, nextMonth());
  const query = { status: 'active' as const, per_page: PAID.length, sort: '-outstanding_balance' as const };
  const customers = unwrap(await client.GET('/api/v1/customers', { params: { query } }));
  for (const [at, { id }] of customers.entries())
    unwrap(
      await client.POST('/api/v1/customers/{id}/payments', {
        params: { path: { id }, header: { 'Idempotency-Key': `demo-${id}` } },
        body: { amount: PAID[at]!, payment_method: 'cash' },
      }),
    );
}

/** On the demo’s calendar: it said nothing of its time zone. */
const nextMonth = (): string => addDays(startOfMonth(localDate(Date.now(), 'Asia/Jakarta')), 32).slice(0, 7);

async function runBilling(client: RukunClient, period: string): Promise<void> {
  const { id } = unwrap(await client.POST('/api/v1/billing/run', { body: { period } }));
  for (let tries = 0; tries < 100; tries++) {
    const job = unwrap(await client.GET('/api/v1/jobs/{id}', { params: { path: { id } } }));
    if (job.finished_at) return;
    await sleep(200);
  }
  throw new Error('the demo’s invoices did not come to an end');
}
