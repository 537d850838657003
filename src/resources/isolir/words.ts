import type { PaymentRow } from '../payments/table.ts';

/** All that the page says, in the languages that it speaks. */

export const LANGUAGES = ['id', 'en'] as const;
export type Language = (typeof LANGUAGES)[number];

export const isLanguage = (text: string | undefined): text is Language => LANGUAGES.some(language => language === text);

interface Words {
  limited: string;
  limited_why: string;
  look_up: string;
  look_up_why: string;
  customer_code: string;
  customer_code_hint: string;
  phone: string;
  phone_hint: string;
  how_to_pay: string;
  ask_how_to_pay: string;
  contact: string;
  call: string;
  unknown_customer: string;
  unknown_customer_why: string;
  dues_of: (name: string) => string;
  due_on: string;
  overdue: string;
  total: string;
  credit: string;
  after_payment: string;
  nothing_owed: string;
  recovers: string;
  limited_otherwise: string;
  back: string;
  purposes: Record<PaymentRow['payment_for'], string>;
  no_page: string;
  no_page_why: string;
  not_open: string;
  not_open_why: string;
  bad_input: string;
  bad_input_why: string;
  too_many: string;
  wait: (minutes: number) => string;
  failed: string;
  failed_why: string;
}

export const WORDS: Record<Language, Words> = {
  id: {
    limited: 'Sambungan internet Anda dibatasi (isolir)',
    limited_why: 'Biasanya karena ada tagihan yang belum dibayar. Setelah lunas, sambungan pulih dalam beberapa menit.',
    look_up: 'Lihat tagihan',
    look_up_why: 'Isi keduanya, supaya hanya Anda yang melihat tagihan Anda.',
    customer_code: 'Kode pelanggan',
    customer_code_hint: 'Contoh: CUST00001. Tertera di tagihan atau kuitansi.',
    phone: 'Nomor HP',
    phone_hint: 'Nomor yang Anda daftarkan pada kami.',
    how_to_pay: 'Cara membayar',
    ask_how_to_pay: 'Tanyakan pada kami cara membayarnya.',
    contact: 'Hubungi kami',
    call: 'Telepon',
    unknown_customer: 'Tagihan tidak ditemukan',
    unknown_customer_why: 'Kode pelanggan dan nomor HP itu tidak cocok. Periksa lagi, atau hubungi kami.',
    dues_of: name => `Tagihan ${name}`,
    due_on: 'Jatuh tempo',
    overdue: 'Lewat jatuh tempo',
    total: 'Total tagihan',
    credit: 'Saldo Anda',
    after_payment: 'Setelah pembayaran kami catat, sambungan pulih dalam beberapa menit.',
    nothing_owed: 'Tidak ada tagihan.',
    recovers: 'Sambungan pulih dalam beberapa menit.',
    limited_otherwise: 'Sambungan ini dibatasi karena hal lain. Silakan hubungi kami.',
    back: 'Kembali ke awal',
    purposes: {
      monthly_subscription: 'Langganan',
      installation: 'Pemasangan',
      speed_boost: 'Tambahan kecepatan',
      other: 'Lain-lain',
    },
    no_page: 'Halaman tidak ditemukan',
    no_page_why: 'Alamat ini bukan milik penyedia internet mana pun. Hubungi penyedia internet Anda.',
    not_open: 'Halaman ini sedang tidak tersedia',
    not_open_why: 'Hubungi penyedia internet Anda.',
    bad_input: 'Isian belum lengkap',
    bad_input_why: 'Isi kode pelanggan dan nomor HP, lalu coba lagi.',
    too_many: 'Terlalu banyak percobaan',
    wait: minutes => `Tunggu ${minutes} menit, lalu coba lagi.`,
    failed: 'Ada gangguan di pihak kami',
    failed_why: 'Coba lagi beberapa saat lagi. Bila tetap begini, beri tahu penyedia internet Anda nomor ini:',
  },
  en: {
    limited: 'Your internet connection is limited (isolir)',
    limited_why: 'Mostly because a bill is unpaid. Once it is paid, the connection recovers within a few minutes.',
    look_up: 'See what is owed',
    look_up_why: 'Fill in both, so that nobody but you sees your bill.',
    customer_code: 'Customer code',
    customer_code_hint: 'Example: CUST00001. It stands on your bill or receipt.',
    phone: 'Mobile number',
    phone_hint: 'The number that you gave us.',
    how_to_pay: 'How to pay',
    ask_how_to_pay: 'Ask us how to pay.',
    contact: 'Contact us',
    call: 'Call',
    unknown_customer: 'No bill found',
    unknown_customer_why: 'That customer code and mobile number do not match. Check them, or contact us.',
    dues_of: name => `Bill of ${name}`,
    due_on: 'Due',
    overdue: 'Overdue',
    total: 'Total owed',
    credit: 'Your credit',
    after_payment: 'Once we have noted your payment, the connection recovers within a few minutes.',
    nothing_owed: 'Nothing is owed.',
    recovers: 'The connection recovers within a few minutes.',
    limited_otherwise: 'This connection is limited for another reason. Please contact us.',
    back: 'Back to the start',
    purposes: {
      monthly_subscription: 'Subscription',
      installation: 'Installation',
      speed_boost: 'Speed boost',
      other: 'Other',
    },
    no_page: 'There is no such page',
    no_page_why: 'This address belongs to no internet provider. Contact your internet provider.',
    not_open: 'This page is not available now',
    not_open_why: 'Contact your internet provider.',
    bad_input: 'Something is missing',
    bad_input_why: 'Fill in customer code and mobile number, then try again.',
    too_many: 'Too many tries',
    wait: minutes => (minutes === 1 ? 'Wait a minute, then try again.' : `Wait ${minutes} minutes, then try again.`),
    failed: 'Something went wrong on our side',
    failed_why: 'Try again in a while. If it stays so, tell your internet provider this number:',
  },
};

/** The other language, as its speakers call it. */
export const OTHER: Record<Language, { language: Language; name: string }> = {
  id: { language: 'en', name: 'English' },
  en: { language: 'id', name: 'Bahasa Indonesia' },
};

// both write day, month, year, as dates are written in Indonesia
const LOCALES: Record<Language, string> = { id: 'id', en: 'en-GB' };

function formatterOf(options: Intl.DateTimeFormatOptions): Record<Language, Intl.DateTimeFormat> {
  const make = (language: Language) => new Intl.DateTimeFormat(LOCALES[language], { ...options, timeZone: 'UTC' });
  return { id: make('id'), en: make('en') };
}

const dates = formatterOf({ day: 'numeric', month: 'long', year: 'numeric' });
const months = formatterOf({ month: 'long', year: 'numeric' });

/** `2026-11-15` → `15 November 2026`. */
export const formatDate = (date: string, language: Language): string => dates[language].format(Date.parse(date));

/** `November 2026`. */
export const formatMonth = (month: number, year: number, language: Language): string =>
  months[language].format(Date.UTC(year, month - 1));
