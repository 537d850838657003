/** The words of the papers in both languages, and dates and shares as they are written in each. */

const INDONESIAN = {
  invoice: 'Faktur',
  receipt: 'Kwitansi',
  bill_to: 'Ditagihkan kepada',
  issue_date: 'Tanggal faktur',
  due_date: 'Jatuh tempo',
  period: 'Periode',
  status: 'Status',
  pending: 'Belum dibayar',
  paid: 'Lunas',
  overdue: 'Terlambat',
  void: 'Dibatalkan',
  description: 'Keterangan',
  quantity: 'Jml',
  unit_price: 'Harga satuan',
  amount: 'Jumlah',
  subtotal: 'Subtotal',
  tax: 'PPN',
  total: 'Total',
  paid_so_far: 'Sudah dibayar',
  amount_due: 'Sisa tagihan',
  payment_instructions: 'Cara pembayaran',
  amount_received: 'Jumlah diterima',
  received_from: 'Telah terima dari',
  customer_code: 'ID pelanggan',
  address: 'Alamat',
  phone: 'Telepon',
  received_on: 'Tanggal',
  payment_method: 'Metode pembayaran',
  reference_number: 'No. referensi',
  settled: 'Untuk pembayaran',
  credit: 'Saldo kredit pelanggan',
  received_by: 'Diterima oleh',
  voided_on: 'Dibatalkan pada',
  reason: 'Alasan',
  page: 'Halaman {page} dari {pages}',
  methods: {
    cash: 'Tunai',
    transfer: 'Transfer bank',
    'e-wallet': 'Dompet digital',
    credit_card: 'Kartu kredit',
    gateway: 'Pembayaran daring',
  } as Readonly<Record<string, string>>,
};

export type Labels = typeof INDONESIAN;

const ENGLISH: Labels = {
  invoice: 'Invoice',
  receipt: 'Receipt',
  bill_to: 'Bill to',
  issue_date: 'Invoice date',
  due_date: 'Due date',
  period: 'Period',
  status: 'Status',
  pending: 'Unpaid',
  paid: 'Paid',
  overdue: 'Overdue',
  void: 'Void',
  description: 'Description',
  quantity: 'Qty',
  unit_price: 'Unit price',
  amount: 'Amount',
  subtotal: 'Subtotal',
  tax: 'VAT',
  total: 'Total',
  paid_so_far: 'Paid to date',
  amount_due: 'Amount due',
  payment_instructions: 'How to pay',
  amount_received: 'Amount received',
  received_from: 'Received from',
  customer_code: 'Customer ID',
  address: 'Address',
  phone: 'Phone',
  received_on: 'Date',
  payment_method: 'Payment method',
  reference_number: 'Reference',
  settled: 'Payment for',
  credit: 'Customer credit',
  received_by: 'Received by',
  voided_on: 'Voided on',
  reason: 'Reason',
  page: 'Page {page} of {pages}',
  methods: {
    cash: 'Cash',
    transfer: 'Bank transfer',
    'e-wallet': 'E-wallet',
    credit_card: 'Credit card',
    gateway: 'Online payment',
  },
};

export type Language = 'id' | 'en';

export const languageOf = (locale: string): Language => (/^id(?![a-z])/i.test(locale) ? 'id' : 'en');

export const labelsOf = (language: Language): Labels => (language === 'id' ? INDONESIAN : ENGLISH);

/** A way to pay that we have no word for is called as it is. */
export const methodOf = (method: string, { methods }: Labels): string =>
  Object.hasOwn(methods, method) ? methods[method]! : method;

/** How Intl is asked: the day comes before the month, wherever English is read here. */
const INTL: Readonly<Record<Language, string>> = { id: 'id', en: 'en-GB' };

/** `2026-11-20` → `20 November 2026`. */
export function formatDate(date: string, language: Language): string {
  const style = { day: 'numeric', month: 'long', year: 'numeric', timeZone: 'UTC' } as const;
  return new Intl.DateTimeFormat(INTL[language], style).format(startOf(date));
}

/** 11 of 2026 → `November 2026`. */
export function formatPeriod(month: number, year: number, language: Language): string {
  const style = { month: 'long', year: 'numeric', timeZone: 'UTC' } as const;
  return new Intl.DateTimeFormat(INTL[language], style).format(Date.UTC(year, month - 1));
}

/** 1100 → `11%`. */
export function formatShare(basis_points: number, language: Language): string {
  const style = { style: 'percent', maximumFractionDigits: 2 } as const;
  return new Intl.NumberFormat(INTL[language], style).format(basis_points / 10_000);
}

export function formatQuantity(quantity: number, language: Language): string {
  return new Intl.NumberFormat(INTL[language], { maximumFractionDigits: 3 }).format(quantity);
}

/** The instant that stands for a date inside a document. */
export const startOf = (date: string): Date => new Date(`${date}T00:00:00Z`);
