/** What an invoice and a receipt say: facts only, looked up by those who own them. */

export interface Issuer {
  business_name: string;
  address: string | null;
  phone: string | null;
  email: string | null;
}

export interface Recipient {
  full_name: string;
  customer_code: string;
  address: string | null;
  phone: string | null;
}

interface Paper {
  issuer: Issuer;
  customer: Recipient;
  /** `id`, or `en` for everybody else. */
  locale: string;
  /** ISO 4217. */
  currency: string;
  number: string;
}

export interface InvoicePaper extends Paper {
  /** YYYY-MM-DD, as all dates here. */
  issue_date: string;
  due_date: string;
  period_month: number;
  period_year: number;
  status: 'pending' | 'paid' | 'overdue' | 'void';
  lines: { description: string; quantity: number; unit_price: number; amount: number }[];
  subtotal: number;
  /** Hundredths of a percent. */
  tax_rate_bp: number;
  tax: number;
  total: number;
  /** What of the total is paid by now. */
  paid: number;
  /** How to pay, several lines; shown while something is to be paid. */
  payment_instructions: string | null;
}

export interface ReceiptPaper extends Paper {
  received_on: string;
  received_by: string | null;
  amount: number;
  /** cash, transfer, e-wallet, credit_card or gateway. */
  payment_method: string;
  reference_number: string | null;
  settled: { description: string; amount: number }[];
  /** What of it was not allocated to any due: the customer's credit. */
  credit: number;
  voided: { on: string; reason: string | null } | null;
}
