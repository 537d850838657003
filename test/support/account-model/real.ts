import { expect } from 'vitest';
import { checkBooks, checkNumbers } from '../books.ts';
import { TimedTenant } from '../timed-tenant.ts';
import { tellPeriod } from './calendar.ts';
import {
  type Account,
  creditOf,
  type Due,
  outstandingOf,
  type Plan,
  type Settings,
  statusOf,
  type Terms,
} from './model.ts';

/** The product's side of the comparison: one provider, and in each run a new customer of it. */

interface PaymentFound {
  id: string;
  amount: number;
  status: Due['status'];
  due_date: string;
  payment_date: string | null;
  payment_method: string | null;
  invoice_id: string | null;
  receipt_id: string | null;
}

interface ReceiptFound {
  id: string;
  number: string;
  amount: number;
  unallocated: number;
  received_on: string;
  voided_at: number | null;
}

interface InvoiceFound {
  id: string;
  period: string;
  due_date: string;
  issue_date: string;
  status: string;
  subtotal: number;
  tax: number;
  total: number;
  lines: string;
}

const FIND = [
  `SELECT p.*, a.receipt_id FROM payments p LEFT JOIN receipt_allocations a ON a.payment_id = p.id
    WHERE p.customer_id = ? ORDER BY p.id`,
  'SELECT * FROM receipts WHERE customer_id = ? ORDER BY number',
  'SELECT * FROM invoices WHERE customer_id = ? ORDER BY id',
];

const SETTINGS: Settings = { grace_days: 3, invoice_days_before_due: 7, tax_rate_bp: 0, bill_suspended_periods: false };

export interface Beginning {
  zone: string;
  date: string;
  settings: Partial<Settings>;
  terms: Omit<Terms, 'plan' | 'monthly_fee' | 'auto_isolir'> & { plan: number; discount: number };
}

export class Real {
  readonly tenant: TimedTenant;
  readonly plans: readonly Plan[];
  customer_id = '';
  readonly counts = new Map<string, number>();

  private constructor(tenant: TimedTenant, plans: readonly Plan[]) {
    this.tenant = tenant;
    this.plans = plans;
  }

  static async make(): Promise<Real> {
    const tenant = await TimedTenant.open();
    const plans: Plan[] = [];
    for (const price of [100_000, 155_555, 300_001]) plans.push({ id: (await tenant.addPlan({ price })).id, price });
    return new Real(tenant, plans);
  }

  /** A customer who was activated this day, and the account that he must have. */
  async begin({ zone, date, settings, terms }: Beginning): Promise<Account> {
    const { tenant } = this;
    await tenant.moveTo(zone);
    tenant.setDay(date);
    const all = { ...SETTINGS, ...settings };
    await tenant.put('/settings', all);
    const plan = this.plans[terms.plan]!;
    const monthly_fee = Math.max(0, plan.price - terms.discount);
    const { due_day, billing_type } = terms;
    const { id } = await tenant.addCustomer(plan.id, { monthly_fee, due_day, billing_type });
    await tenant.post(`/customers/${id}/activate`, {});
    this.customer_id = id;
    return {
      settings: all,
      terms: { plan, monthly_fee, due_day, billing_type, auto_isolir: true },
      created_on: date,
      activated_on: date,
      status: 'active',
      suspension_reason: null,
      suspensions: [],
      hold_until: null,
      plan_changes: [],
      happened: 0,
      plan_to_come: null,
      dues: [],
      receipts: [],
      invoices: [],
    };
  }

  count(what: string, times = 1): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + times);
  }

  /** Nothing is due from whoever is gone. */
  async end(): Promise<void> {
    await this.tenant.post(`/customers/${this.customer_id}/terminate`, {});
    await this.tenant.call('DELETE', `/customers/${this.customer_id}`);
  }

  async #find() {
    const d1 = await this.tenant.database();
    const answers = await d1.batch(FIND.map(sql => d1.prepare(sql).bind(this.customer_id)));
    const [payments, receipts, invoices] = answers.map(({ results }) => results);
    return {
      payments: payments as unknown as PaymentFound[],
      receipts: receipts as unknown as ReceiptFound[],
      invoices: invoices as unknown as InvoiceFound[],
    };
  }

  /** All that can be seen of it is as the model says. */
  async compare(account: Account): Promise<void> {
    const { payments, receipts, invoices } = await this.#find();
    adopt(account.receipts, receipts, ({ amount, received_on }) => `${amount} ${received_on}`);
    adopt(account.invoices, invoices, invoice => ('issue_date' in invoice && typeof invoice.period === 'string' ? invoice.period : tellPeriod(invoice.period as never))); // prettier-ignore
    adopt(account.dues, payments, keyOf);
    const customer = await this.tenant.get(`/customers/${this.customer_id}`);
    const by_id = <T extends { id: string | null }>(list: T[]) => Object.fromEntries(list.map(each => [each.id, each]));
    expect(by_id(receipts.map(({ id, amount, unallocated, received_on, voided_at }) => ({ id, amount, left: unallocated, received_on, is_void: voided_at !== null })))) // prettier-ignore
      .toEqual(by_id(account.receipts.map(({ received_ms: _ms, ...receipt }) => receipt)));
    expect(by_id(invoices.map(({ id, period, due_date, issue_date, status, subtotal, tax, total }) => ({ id, period, due_date, issue_date, status, subtotal, tax, total }))), linesOf(invoices)) // prettier-ignore
      .toEqual(
        by_id(
          account.invoices.map(invoice => {
            const { id, period, due_date, issue_date, charged } = invoice;
            const { subtotal, tax, total } = charged;
            return { id, period: tellPeriod(period), due_date, issue_date, status: statusOf(account, invoice), subtotal, tax, total }; // prettier-ignore
          }),
        ),
      );
    expect(by_id(payments.map(seenPayment))).toEqual(by_id(account.dues.map(expectedPayment)));
    const { plan, ...terms } = account.terms;
    expect(customer).toMatchObject({
      status: account.status,
      suspension_reason: account.suspension_reason,
      outstanding_balance: outstandingOf(account),
      credit_balance: creditOf(account),
      hold_until: account.hold_until,
      service_plan_id: plan.id,
      ...terms,
    });
    this.#checkFairness(customer, payments);
    await checkBooks(await this.tenant.database(), this.customer_id);
  }

  /** Of the rows alone, should the model be wrong as well: nobody is cut off for what isn't owed, or was paid. */
  #checkFairness(
    { status, suspension_reason }: { status: string; suspension_reason: string },
    payments: PaymentFound[],
  ) {
    if (status !== 'suspended' || suspension_reason !== 'overdue') return;
    const { today } = this.tenant;
    const late = payments.filter(due => (due.status === 'pending' || due.status === 'overdue') && due.due_date < today);
    expect(late, 'nothing is overdue, and the line is cut').not.toEqual([]);
  }

  async checkNumbers(): Promise<void> {
    await checkNumbers(await this.tenant.database());
  }
}

const linesOf = (invoices: InvoiceFound[]): string =>
  invoices.map(({ period, lines }) => `${period}: ${lines}`).join('\n');

/** Two that can't be told apart are the same to the model as well. */
const keyOf = (due: PaymentFound | Due): string => {
  const { amount, status, due_date, payment_date, payment_method } = due;
  const [invoice, receipt] =
    'receipt_id' in due ? [due.invoice_id, due.receipt_id] : [due.invoice?.id, due.receipt?.id];
  return JSON.stringify([amount, status, due_date, payment_date, payment_method, invoice ?? null, receipt ?? null]);
};

const seenPayment = (due: PaymentFound) => ({ id: due.id, is: keyOf(due) });
const expectedPayment = (due: Due) => ({ id: due.id, is: keyOf(due) });

/** What is new to the model gets the name that the product gave it. */
function adopt<T extends { id: string | null }, R extends { id: string }>(
  known: T[],
  found: R[],
  tell: (each: T | R) => string,
): void {
  const ids = new Set(known.map(({ id }) => id));
  const strangers = found.filter(({ id }) => !ids.has(id));
  for (const each of known.filter(({ id }) => id === null)) {
    const at = strangers.findIndex(stranger => tell(stranger) === tell(each));
    if (at >= 0) each.id = strangers.splice(at, 1)[0]!.id;
  }
}
