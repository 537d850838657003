import { env } from 'cloudflare:test';
import fc from 'fast-check';
import { PDFDict } from 'pdf-lib';
import { beforeAll, describe, expect, test } from 'vitest';
import { pdfAnswer } from '../../src/documents/answer.ts';
import { loadFonts, type Fonts } from '../../src/documents/fonts.ts';
import { drawInvoice } from '../../src/documents/invoice.ts';
import type { InvoicePaper, ReceiptPaper } from '../../src/documents/paper.ts';
import { drawReceipt } from '../../src/documents/receipt.ts';
import { cleanLine } from '../../src/documents/text.ts';
import { formatMoney } from '../../src/lib/money.ts';
import { parseTrueType } from '../../src/lib/truetype.ts';
import { findMisplaced, readPdf, type PdfText } from '../support/pdf-text.ts';

const [INVOICE_MARGIN, RECEIPT_MARGIN] = [48, 34];

let fonts: Fonts;
beforeAll(async () => {
  fonts = await loadFonts(env);
});

const issuer = {
  business_name: 'Nusantara Jaya Net',
  address: 'Jl. Merdeka Timur No. 17\nDepok 16414',
  phone: '+62 812-3456-7890',
  email: 'tagihan@nusantarajaya.net.id',
};
const customer = {
  full_name: 'Siti Rahmawati',
  customer_code: 'NJN-000123',
  address: 'Griya Asri Blok C2 No. 8',
  phone: '+62 857-1122-3344',
};

const INVOICE: InvoicePaper = {
  issuer,
  customer,
  locale: 'id',
  currency: 'IDR',
  number: 'INV-2026-11-0001',
  issue_date: '2026-11-01',
  due_date: '2026-11-15',
  period_month: 11,
  period_year: 2026,
  status: 'pending',
  lines: [
    { description: 'Paket Keluarga 20 Mbps', quantity: 1, unit_price: 250_000, amount: 250_000 },
    { description: 'Kabel tambahan', quantity: 35.5, unit_price: 4_000, amount: 142_000 },
  ],
  subtotal: 392_000,
  tax_rate_bp: 1100,
  tax: 43_120,
  total: 435_120,
  paid: 100_000,
  payment_instructions: 'Transfer ke BCA 123 456 7890\na.n. PT Nusantara Jaya',
};

const RECEIPT: ReceiptPaper = {
  issuer,
  customer,
  locale: 'id',
  currency: 'IDR',
  number: 'KW-2026-11-0042',
  received_on: '2026-11-14',
  received_by: 'Budi Santoso',
  amount: 500_000,
  payment_method: 'transfer',
  reference_number: 'BCA/991827',
  settled: [{ description: 'INV-2026-11-0001', amount: 435_120 }],
  credit: 64_880,
  voided: null,
};

const invoice = async (change: Partial<InvoicePaper> = {}) =>
  readPdf(await drawInvoice({ ...INVOICE, ...change }, fonts));
const receipt = async (change: Partial<ReceiptPaper> = {}) =>
  readPdf(await drawReceipt({ ...RECEIPT, ...change }, fonts));

const textsOf = ({ runs }: PdfText) => runs.map(run => run.text);
const stampsOf = ({ runs }: PdfText) => runs.filter(run => run.is_turned).map(run => run.text);
const money = (amount: number, currency = 'IDR', locale = 'id') => formatMoney(amount, currency, locale);

describe('an invoice', () => {
  test('it says who owes whom what, when and how to pay', async () => {
    const pdf = await invoice();
    expect(pdf.sizes).toEqual([{ width: 595.28, height: 841.89 }]);
    expect(textsOf(pdf)).toEqual([
      ...['Faktur', 'INV-2026-11-0001'],
      ...['Nusantara Jaya Net', 'Jl. Merdeka Timur No. 17', 'Depok 16414'],
      '+62 812-3456-7890 · tagihan@nusantarajaya.net.id',
      ...['Tanggal faktur', '1 November 2026', 'Jatuh tempo', '15 November 2026'],
      ...['Periode', 'November 2026', 'Status', 'Belum dibayar'],
      ...['Ditagihkan kepada', 'Siti Rahmawati', 'NJN-000123', 'Griya Asri Blok C2 No. 8', '+62 857-1122-3344'],
      ...['Keterangan', 'Jml', 'Harga satuan', 'Jumlah'],
      ...['Paket Keluarga 20 Mbps', '1', money(250_000), money(250_000)],
      ...['Kabel tambahan', '35,5', money(4_000), money(142_000)],
      ...['Subtotal', money(392_000), 'PPN 11%', money(43_120), 'Total', money(435_120)],
      ...['Sudah dibayar', money(100_000), 'Sisa tagihan', money(335_120)],
      ...['Cara pembayaran', 'Transfer ke BCA 123 456 7890', 'a.n. PT Nusantara Jaya'],
      ...['Nusantara Jaya Net', 'Halaman 1 dari 1'],
    ]);
    expect(findMisplaced(pdf, INVOICE_MARGIN)).toEqual([]);
    // figures of a column end at one edge
    const edges = pdf.runs.filter(run => /^Rp/.test(run.text)).map(run => Math.round(run.box.right));
    expect(new Set(edges).size).toBe(2);
  });

  test('it speaks English to everybody else, in their currency', async () => {
    const texts = textsOf(await invoice({ locale: 'de-DE', currency: 'USD', status: 'overdue' }));
    const said = ['Invoice', 'Bill to', 'Due date', 'Overdue', 'VAT 11%', 'Amount due', '$4,351.20', 'Page 1 of 1'];
    expect(texts).toEqual(expect.arrayContaining(said));
    expect(textsOf(await invoice({ locale: 'id-ID' }))).toContain('Faktur');
  });

  test('what is paid or void is stamped, and doesn’t ask for money', async () => {
    const paid = await invoice({ status: 'paid', paid: INVOICE.total });
    expect(stampsOf(paid)).toEqual(['LUNAS']);
    expect(textsOf(paid)).toEqual(expect.arrayContaining(['Sisa tagihan', money(0)]));
    const dead = await invoice({ status: 'void' });
    expect(stampsOf(dead)).toEqual(['DIBATALKAN']);
    expect(textsOf(dead)).not.toContain('Sisa tagihan');
    for (const pdf of [paid, dead]) {
      expect(textsOf(pdf)).not.toContain('Cara pembayaran');
      expect(findMisplaced(pdf, INVOICE_MARGIN)).toEqual([]);
    }
    expect(stampsOf(await invoice())).toEqual([]);
    expect(stampsOf(await invoice({ status: 'overdue' }))).toEqual([]);
  });

  test('without tax there is no line for it', async () => {
    const texts = textsOf(await invoice({ tax: 0, tax_rate_bp: 0 }));
    expect(texts.filter(text => text.startsWith('PPN'))).toEqual([]);
  });

  test('many lines flow over pages that say what they belong to', async () => {
    const lines = Array.from({ length: 60 }, (_, i) => {
      return { description: `Layanan ${i + 1}`, quantity: 1, unit_price: 1000 + i, amount: 1000 + i };
    });
    const pdf = await invoice({ lines, status: 'void' });
    expect(pdf.sizes.length).toBe(3);
    const services = textsOf(pdf).filter(text => text.startsWith('Layanan'));
    expect(services).toEqual(lines.map(line => line.description));
    for (const { amount } of lines) expect(textsOf(pdf).filter(text => text === money(amount))).toHaveLength(2);
    for (const page of [0, 1, 2]) {
      const texts = pdf.runs.filter(run => run.page === page).map(run => run.text);
      expect(texts).toContain(`Halaman ${page + 1} dari 3`);
      expect(texts).toContain('Keterangan');
      expect(texts.includes('Faktur INV-2026-11-0001 · Dibatalkan')).toBe(page > 0);
      expect(texts.includes('Subtotal')).toBe(page === 2);
    }
    expect(findMisplaced(pdf, INVOICE_MARGIN)).toEqual([]);
  });

  test('a description longer than a page loses nothing', async () => {
    const description = Array.from({ length: 2500 }, (_, i) => `k${i}`).join(' ');
    const pdf = await invoice({ lines: [{ description, quantity: 1, unit_price: 1, amount: 1 }] });
    const words = textsOf(pdf).filter(text => /^k\d/.test(text));
    expect(words.join(' ')).toBe(description);
    expect(findMisplaced(pdf, INVOICE_MARGIN)).toEqual([]);
  });
});

describe('a receipt', () => {
  test('it says what was received, from whom and what for', async () => {
    const pdf = await receipt();
    expect(pdf.sizes).toEqual([{ width: 419.53, height: 595.28 }]);
    expect(textsOf(pdf)).toEqual([
      ...['Kwitansi', 'KW-2026-11-0042'],
      ...['Nusantara Jaya Net', 'Jl. Merdeka Timur No. 17', 'Depok 16414'],
      ...['+62 812-3456-7890', 'tagihan@nusantarajaya.net.id'],
      ...['Jumlah diterima', money(500_000)],
      ...['Telah terima dari', 'Siti Rahmawati', 'ID pelanggan', 'NJN-000123'],
      ...['Alamat', 'Griya Asri Blok C2 No. 8', 'Telepon', '+62 857-1122-3344', 'Tanggal', '14 November 2026'],
      ...['Metode pembayaran', 'Transfer bank', 'No. referensi', 'BCA/991827', 'Diterima oleh', 'Budi Santoso'],
      ...['Untuk pembayaran', 'Jumlah', 'INV-2026-11-0001', money(435_120)],
      ...['Saldo kredit pelanggan', money(64_880), 'Total', money(500_000)],
      ...['Nusantara Jaya Net', 'Halaman 1 dari 1'],
    ]);
    expect(findMisplaced(pdf, RECEIPT_MARGIN)).toEqual([]);
    expect(stampsOf(pdf)).toEqual([]);
  });

  test('a voided one is stamped, and says when and why', async () => {
    const pdf = await receipt({ voided: { on: '2026-11-15', reason: 'Tercatat dua kali' } });
    expect(stampsOf(pdf)).toEqual(['DIBATALKAN']);
    const said = ['Dibatalkan pada', '15 November 2026', 'Alasan', 'Tercatat dua kali'];
    expect(textsOf(pdf)).toEqual(expect.arrayContaining(said));
    expect(findMisplaced(pdf, RECEIPT_MARGIN)).toEqual([]);
  });

  test('a way to pay that we have no word for is called as it is', async () => {
    for (const payment_method of ['barter', 'constructor'])
      expect(textsOf(await receipt({ payment_method }))).toContain(payment_method);
    expect(textsOf(await receipt({ payment_method: 'e-wallet', locale: 'en' }))).toContain('E-wallet');
  });
});

describe('text is data', () => {
  test('what can’t be set is shown as a box, and nothing breaks a line that is one', async () => {
    const full_name = 'Ali\u0000\n\t B\u202eob \u{1f9ff} \ud800 محمد é\u0301 e\u0301 <b>\u200d(x) Tj\\';
    const texts = textsOf(await receipt({ customer: { ...customer, full_name } }));
    expect(texts).toContain('Ali Bob □ � □□□□ é□ é <b>(x) Tj\\');
  });

  test('no name becomes an action, a link or a form', async () => {
    const hostile = '/JS (app.alert(1)) >> endobj https://evil.example javascript:alert(1)';
    const { doc } = await invoice({ customer: { ...customer, full_name: hostile }, number: hostile });
    const keys = doc.context
      .enumerateIndirectObjects()
      .flatMap(([, object]) => (object instanceof PDFDict ? object.keys().map(String) : []));
    expect(keys).toContain('/MediaBox');
    for (const key of ['/JS', '/JavaScript', '/URI', '/A', '/AA', '/OpenAction', '/AcroForm'])
      expect(keys).not.toContain(key);
    expect(doc.getPages().map(page => page.node.Annots()?.size() ?? 0)).toEqual([0]);
    expect(doc.getTitle()).toBe(hostile);
  });

  test('the same paper is the same file, dated as the paper is', async () => {
    const [first, second] = [await drawInvoice(INVOICE, fonts), await drawInvoice(INVOICE, fonts)];
    expect(first).toEqual(second);
    const { doc } = await readPdf(first);
    expect(doc.getTitle()).toBe('INV-2026-11-0001');
    expect(doc.getProducer()).toBe('Rukun');
    expect([doc.getCreationDate(), doc.getModificationDate()]).toEqual(Array(2).fill(new Date('2026-11-01')));
    expect((await receipt()).doc.getCreationDate()).toEqual(new Date('2026-11-14'));
    expect(first.length).toBeLessThan(40_000);
  });
});

const units = fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 40 });
const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 120 }),
  fc.string({ unit: 'grapheme', maxLength: 120 }),
  units.map(codes => String.fromCharCode(...codes)),
  fc.constantFrom(
    '',
    ' ',
    '\r\n\n',
    'W'.repeat(120),
    'سلام \u202eabc',
    '👨‍👩‍👧‍👦 ❤️',
    'ﬁ'.repeat(30),
    '\ud83d',
    '‎'.repeat(9),
  ),
);
const maybeText = fc.option(anyText);
const amounts = fc.oneof(fc.integer({ min: 0, max: 1_000_000_000_000 }), fc.maxSafeInteger());
const statuses = fc.constantFrom('pending', 'paid', 'overdue', 'void');
const paperOf = {
  issuer: fc.record({ business_name: anyText, address: maybeText, phone: maybeText, email: maybeText }),
  customer: fc.record({ full_name: anyText, customer_code: anyText, address: maybeText, phone: maybeText }),
  locale: fc.constantFrom('id', 'en', 'fr'),
  currency: fc.constantFrom('IDR', 'USD', 'KWD'),
  number: anyText,
};
const anyInvoice: fc.Arbitrary<InvoicePaper> = fc.record({
  ...paperOf,
  issue_date: fc.constant('2026-11-01'),
  due_date: fc.constant('2026-12-31'),
  period_month: fc.integer({ min: 1, max: 12 }),
  period_year: fc.integer({ min: 2000, max: 2100 }),
  status: statuses as fc.Arbitrary<InvoicePaper['status']>,
  lines: fc.array(fc.record({ description: anyText, quantity: fc.double(), unit_price: amounts, amount: amounts }), {
    maxLength: 60,
    size: 'max',
  }),
  subtotal: amounts,
  tax_rate_bp: fc.integer({ min: 0, max: 10_000 }),
  tax: amounts,
  total: amounts,
  paid: amounts,
  payment_instructions: maybeText,
});
const anyReceipt: fc.Arbitrary<ReceiptPaper> = fc.record({
  ...paperOf,
  received_on: fc.constant('2026-11-14'),
  received_by: maybeText,
  amount: amounts,
  payment_method: anyText,
  reference_number: maybeText,
  settled: fc.array(fc.record({ description: anyText, amount: amounts }), { maxLength: 60, size: 'max' }),
  credit: amounts,
  voided: fc.option(fc.record({ on: fc.constant('2026-11-15'), reason: maybeText })),
});

/** The limit is there for failures: papers this long take a while to be made simpler. */
const RUNS = { numRuns: 100 };

/** What must hold of a paper, whatever it says: `descriptions` are those of its rows, all in the first column. */
function expectSound(pdf: PdfText, margin: number, descriptions: string[]): void {
  expect(findMisplaced(pdf, margin)).toEqual([]);
  const pages = pdf.sizes.length;
  for (const [page, { height }] of pdf.sizes.entries()) {
    const runs = pdf.runs.filter(run => run.page === page);
    const count = new RegExp(`^(Halaman|Page) ${page + 1} (dari|of) ${pages}$`);
    expect(runs.filter(run => count.test(run.text))).toHaveLength(1);
    // nobody turns a page that is half empty
    const feet = margin + 12;
    const lowest = Math.min(...runs.filter(run => run.y > feet).map(run => run.y));
    if (page < pages - 1) expect(lowest).toBeLessThan(height / 2);
  }
  const column = pdf.runs.filter(run => run.size === 9 && Math.abs(run.x - margin) < 0.1 && /Sans$/.test(run.font));
  const read = column.map(run => run.text).join('');
  const known = parseTrueType(fonts.regular).glyphs;
  const written = descriptions.map(text => cleanLine(text, character => known.has(character))).join('');
  const solid = (text: string) => text.replaceAll(' ', '');
  expect(solid(read)).toContain(solid(written));
}

describe('whatever the papers say', () => {
  test('an invoice is a sound document', async () => {
    const drawn = fc.asyncProperty(anyInvoice, async paper => {
      const pdf = await readPdf(await drawInvoice(paper, fonts));
      expectSound(pdf, INVOICE_MARGIN, paper.lines.map(line => line.description)); // prettier-ignore
      expect(stampsOf(pdf)).toHaveLength(paper.status === 'paid' || paper.status === 'void' ? 1 : 0);
    });
    await fc.assert(drawn, RUNS);
  });

  test('a receipt is a sound document', async () => {
    const drawn = fc.asyncProperty(anyReceipt, async paper => {
      const pdf = await readPdf(await drawReceipt(paper, fonts));
      expectSound(pdf, RECEIPT_MARGIN, paper.settled.map(due => due.description)); // prettier-ignore
      expect(stampsOf(pdf)).toHaveLength(paper.voided ? 1 : 0);
    });
    await fc.assert(drawn, RUNS);
  });
});

describe('how it is sent', () => {
  test('a browser shows it under a name that is safe anywhere, and keeps nothing', async () => {
    const bytes = await drawReceipt(RECEIPT, fonts);
    const response = pdfAnswer(bytes, 'INV-2026-11-0001');
    expect(Object.fromEntries(response.headers)).toEqual({
      'cache-control': 'no-store',
      'content-disposition': 'inline; filename="INV-2026-11-0001.pdf"',
      'content-length': String(bytes.length),
      'content-type': 'application/pdf',
      'x-content-type-options': 'nosniff',
    });
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(bytes);
    const nameOf = (number: string) => pdfAnswer(bytes, number).headers.get('content-disposition');
    expect(nameOf('../a"\r\nX: y;/é')).toBe('inline; filename="a-X-y.pdf"');
    expect(nameOf('…')).toBe('inline; filename="document.pdf"');
  });

  test('the fonts are fetched once', async () => {
    const nothing = { ...env, ASSETS: { fetch: () => Promise.reject(new Error('asked again')) } as unknown as Fetcher };
    expect(await loadFonts(nothing)).toBe(fonts);
  });
});
