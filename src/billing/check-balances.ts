import { sql } from 'drizzle-orm';
import type { Context } from '../context.ts';
import { commit } from '../db/commit.ts';
import { runTogether } from '../db/session.ts';
import { Fault } from '../errors.ts';
import { toIso } from '../lib/time.ts';
import { logFailure } from '../log.ts';
import { jobs, type JobRow } from '../resources/jobs/index.ts';

/** What triggers keep, against the rows that it follows from. It can only differ by a mistake of ours. */

const MOST_ERRORS = 100;

/** Each selects what differs as a sentence. */
const CHECKS = [
  sql`SELECT c.customer_code || ': outstanding_balance is ' || c.outstanding_balance || ', its dues say ' || r.amount AS says
    FROM customers AS c JOIN (
      SELECT k.id, coalesce(sum(p.amount), 0) AS amount FROM customers AS k
      LEFT JOIN payments AS p ON p.customer_id = k.id AND p.status IN ('pending', 'overdue') GROUP BY k.id
    ) AS r ON r.id = c.id WHERE r.amount <> c.outstanding_balance`,
  sql`SELECT c.customer_code || ': overdue_balance is ' || c.overdue_balance || ', its dues say ' || r.amount AS says
    FROM customers AS c JOIN (
      SELECT k.id, coalesce(sum(p.amount), 0) AS amount FROM customers AS k
      LEFT JOIN payments AS p ON p.customer_id = k.id AND p.status IN ('pending', 'overdue') AND p.status = 'overdue'
      GROUP BY k.id
    ) AS r ON r.id = c.id WHERE r.amount <> c.overdue_balance`,
  sql`SELECT c.customer_code || ': credit_balance is ' || c.credit_balance || ', its receipts say ' || r.amount AS says
    FROM customers AS c JOIN (
      SELECT k.id, coalesce(sum(t.amount - coalesce(
        (SELECT sum(a.amount) FROM receipt_allocations AS a WHERE a.receipt_id = t.id), 0)), 0) AS amount
      FROM customers AS k LEFT JOIN receipts AS t ON t.customer_id = k.id AND t.voided_at IS NULL GROUP BY k.id
    ) AS r ON r.id = c.id WHERE r.amount <> c.credit_balance`,
  sql`SELECT c.customer_code || ': last_payment_date is ' || coalesce(c.last_payment_date, 'unset')
      || ', its receipts say ' || coalesce(r.date, 'none') AS says
    FROM customers AS c LEFT JOIN (
      SELECT customer_id, max(received_on) AS date FROM receipts WHERE voided_at IS NULL GROUP BY customer_id
    ) AS r ON r.customer_id = c.id WHERE r.date IS NOT c.last_payment_date`,
  sql`SELECT i.number || ': is ' || i.status || ', its payments say ' || r.status AS says
    FROM invoices AS i JOIN (
      SELECT invoice_id, CASE WHEN max(status = 'overdue') THEN 'overdue' WHEN max(status = 'pending') THEN 'pending'
        WHEN max(status = 'paid') THEN 'paid' ELSE 'void' END AS status
      FROM payments WHERE invoice_id IS NOT NULL GROUP BY invoice_id
    ) AS r ON r.invoice_id = i.id WHERE r.status <> i.status`,
  sql`SELECT 'the payment ' || p.id || ' is ' || p.status || ' of ' || p.amount || ', and allocated are ' || coalesce(a.amount, 0) AS says
    FROM payments AS p LEFT JOIN receipt_allocations AS a ON a.payment_id = p.id
    WHERE coalesce(a.amount, 0) <> iif(p.status = 'paid', p.amount, 0)`,
];

/** What differs is reported as a failed job, which people see under /jobs, and in the log; nothing is mended by itself. */
export async function checkBalances(ctx: Context): Promise<void> {
  const found = await runTogether(
    ctx.db,
    CHECKS.map(check => ctx.db.orm.all<{ says: string }>(sql`${check} LIMIT ${MOST_ERRORS}`)),
  );
  const errors = found.flat().map(({ says }) => says);
  if (errors.length === 0) return;
  const at = toIso(ctx.now);
  const job: JobRow = {
    id: ctx.newId(),
    kind: 'balance_check',
    subject_id: null,
    status: 'failed',
    total: errors.length,
    succeeded: 0,
    failed: errors.length,
    errors: errors.slice(0, MOST_ERRORS),
    result: null,
    created_by: null,
    started_at: at,
    finished_at: at,
    created_at: at,
    updated_at: at,
  };
  await commit(ctx, [ctx.db.orm.insert(jobs).values(job)], {
    type: 'billing.balances_differ',
    action: 'create',
    entity_id: job.id,
    data: { count: errors.length },
  });
  logFailure({ job: 'check-balances', tenant: ctx.tenant.slug }, new Fault(`${errors.length} balances differ`));
}
