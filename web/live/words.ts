import type { Language } from './language.ts';

/** What stands on the page beside what happens (sentences.ts), in the languages that it speaks. */

type Status = 'active' | 'suspended' | 'pending_activation' | 'terminated';
type Reach = 'online' | 'offline' | 'unknown';

export interface Words {
  title: string;
  language: string;
  // signing in
  sign_in: string;
  sign_in_why: string;
  provider: string;
  provider_hint: string;
  email: string;
  password: string;
  code: string;
  code_hint: string;
  code_needed: string;
  code_wrong: string;
  signing_in: string;
  log_out: string;
  wrong_credentials: string;
  email_needed: string;
  password_needed: string;
  no_provider: (slug: string) => string;
  provider_needed: string;
  not_active: string;
  too_many: string;
  no_network: string;
  failed: string;
  ended: Record<'expired' | 'suspended' | 'copied' | 'logged_out' | 'second_factor', string>;
  resuming: string;
  // the connection
  live: string;
  connecting: string;
  waiting: string;
  offline: string;
  in_seconds: (seconds: number) => string;
  old_figures: string;
  // figures
  customers: string;
  customers_total: string;
  new_this_month: string;
  statuses: Record<Status, string>;
  money: string;
  cash_today: string;
  revenue_today: string;
  cash_month: string;
  revenue_month: string;
  pending: string;
  overdue: string;
  dues: (count: string) => string;
  routers: string;
  no_routers: string;
  reach: Record<Reach, string>;
  lines_online: (count: string) => string;
  download: string;
  upload: string;
  and_more: (count: string) => string;
  alerts: string;
  alerts_open: string;
  alerts_none_new: string;
  alerts_handled: (count: string) => string;
  all_calm: string;
  jobs: string;
  no_jobs: string;
  job_kinds: Record<string, string>;
  job_statuses: Record<'queued' | 'running' | 'completed' | 'failed' | 'cancelled', string>;
  job_counts: (done: string, total: string) => string;
  job_successes: (count: string) => string;
  job_failures: (count: string) => string;
  events: string;
  no_events: string;
}

/** What stands for a word of the API's; undefined for one that we don't know. */
export const wordFor = <T>(words: Record<string, T>, name: unknown): T | undefined =>
  typeof name === 'string' && Object.hasOwn(words, name) ? words[name] : undefined;

export const WORDS: Record<Language, Words> = {
  id: {
    title: 'Pantauan langsung',
    language: 'Bahasa',
    sign_in: 'Masuk',
    sign_in_why: 'Pantau pelanggan, uang masuk, dan router Anda secara langsung.',
    provider: 'Nama penyedia',
    provider_hint: 'Contoh: melati',
    email: 'E-mail',
    password: 'Kata sandi',
    code: 'Kode verifikasi',
    code_hint: 'Enam angka dari aplikasi autentikator, atau kode pemulihan',
    code_needed: 'Isi kode verifikasi.',
    code_wrong: 'Kode salah, sudah lewat, atau sudah dipakai. Isi kode yang baru.',
    signing_in: 'Sedang masuk …',
    log_out: 'Keluar',
    wrong_credentials: 'E-mail atau kata sandi salah.',
    email_needed: 'Isi alamat e-mail.',
    password_needed: 'Isi kata sandi.',
    no_provider: slug => `Tidak ada penyedia bernama “${slug}”.`,
    provider_needed: 'Isi nama penyedia.',
    not_active: 'Akun penyedia ini sedang tidak aktif.',
    too_many: 'Terlalu banyak percobaan. Tunggu sebentar, lalu coba lagi.',
    no_network: 'Server tidak terjangkau. Periksa koneksi internet Anda, lalu coba lagi.',
    failed: 'Ada gangguan di pihak kami. Coba lagi beberapa saat lagi.',
    ended: {
      second_factor: 'Peran Anda memerlukan verifikasi dua langkah. Aktifkan dulu, lalu masuk lagi.',
      expired: 'Sesi Anda sudah berakhir. Silakan masuk lagi.',
      suspended: 'Akun penyedia ini sedang tidak aktif.',
      copied: 'Tab ini salinan dari tab lain. Silakan masuk lagi di sini.',
      logged_out: 'Anda sudah keluar.',
    },
    resuming: 'Menghubungi server …',
    live: 'Langsung',
    connecting: 'Menyambung …',
    waiting: 'Terputus, menyambung lagi',
    offline: 'Tidak ada internet',
    in_seconds: seconds => `dalam ${seconds} detik`,
    old_figures: 'Angka terakhir yang diketahui.',
    customers: 'Pelanggan',
    customers_total: 'pelanggan',
    new_this_month: 'baru bulan ini',
    statuses: { active: 'Aktif', suspended: 'Isolir', pending_activation: 'Menunggu', terminated: 'Berhenti' },
    money: 'Uang hari ini',
    cash_today: 'Uang masuk',
    revenue_today: 'Tagihan lunas hari ini',
    cash_month: 'Uang masuk bulan ini',
    revenue_month: 'Tagihan lunas bulan ini',
    pending: 'Belum dibayar',
    overdue: 'Lewat jatuh tempo',
    dues: count => `${count} tagihan`,
    routers: 'Router',
    no_routers: 'Belum ada router.',
    reach: { online: 'Terhubung', offline: 'Terputus', unknown: 'Belum diketahui' },
    lines_online: count => `${count} pelanggan online`,
    download: 'unduh',
    upload: 'unggah',
    and_more: count => `dan ${count} lagi`,
    alerts: 'Peringatan',
    alerts_open: 'perlu dilihat',
    alerts_none_new: 'tidak ada yang baru',
    alerts_handled: count => `${count} sedang ditangani`,
    all_calm: 'Semua aman.',
    jobs: 'Proses',
    no_jobs: 'Tidak ada proses yang berjalan.',
    job_kinds: {
      import: 'Impor pelanggan',
      import_undo: 'Pembatalan impor',
      billing_run: 'Pembuatan tagihan',
      balance_check: 'Pemeriksaan saldo',
    },
    job_statuses: {
      queued: 'menunggu giliran',
      running: 'berjalan',
      completed: 'selesai',
      failed: 'gagal',
      cancelled: 'dibatalkan',
    },
    job_counts: (done, total) => `${done} dari ${total}`,
    job_successes: count => `${count} berhasil`,
    job_failures: count => `${count} gagal`,
    events: 'Kejadian',
    no_events: 'Belum ada kejadian. Begitu ada, muncul di sini.',
  },
  en: {
    title: 'Live view',
    language: 'Language',
    sign_in: 'Sign in',
    sign_in_why: 'See your customers, money and routers as things happen.',
    provider: 'Provider’s name',
    provider_hint: 'Example: melati',
    email: 'E-mail',
    password: 'Password',
    code: 'Verification code',
    code_hint: 'Six digits of your authenticator app, or a recovery code',
    code_needed: 'Fill in the verification code.',
    code_wrong: 'The code is wrong, over, or was used. Fill in a new one.',
    signing_in: 'Signing in …',
    log_out: 'Log out',
    wrong_credentials: 'E-mail address or password is wrong.',
    email_needed: 'Fill in the e-mail address.',
    password_needed: 'Fill in the password.',
    no_provider: slug => `There is no provider called “${slug}”.`,
    provider_needed: 'Fill in the provider’s name.',
    not_active: 'This provider’s account is not active.',
    too_many: 'Too many tries. Wait a while, then try again.',
    no_network: 'The server can’t be reached. Check your internet connection, then try again.',
    failed: 'Something went wrong on our side. Try again in a while.',
    ended: {
      second_factor: 'Your role needs a second factor. Set it up first, then sign in again.',
      expired: 'Your session has ended. Please sign in again.',
      suspended: 'This provider’s account is not active.',
      copied: 'This tab is a copy of another one. Please sign in here as well.',
      logged_out: 'You are signed out.',
    },
    resuming: 'Calling the server …',
    live: 'Live',
    connecting: 'Connecting …',
    waiting: 'Cut off, reconnecting',
    offline: 'No internet',
    in_seconds: seconds => `in ${seconds} s`,
    old_figures: 'Last known figures.',
    customers: 'Customers',
    customers_total: 'customers',
    new_this_month: 'new this month',
    statuses: { active: 'Active', suspended: 'Isolir', pending_activation: 'Waiting', terminated: 'Ended' },
    money: 'Money today',
    cash_today: 'Money in',
    revenue_today: 'Bills paid today',
    cash_month: 'Money in this month',
    revenue_month: 'Bills paid this month',
    pending: 'Not paid yet',
    overdue: 'Overdue',
    dues: count => (count === '1' ? '1 bill' : `${count} bills`),
    routers: 'Routers',
    no_routers: 'No router yet.',
    reach: { online: 'Online', offline: 'Offline', unknown: 'Not known yet' },
    lines_online: count => (count === '1' ? '1 customer online' : `${count} customers online`),
    download: 'down',
    upload: 'up',
    and_more: count => `and ${count} more`,
    alerts: 'Alerts',
    alerts_open: 'to look at',
    alerts_none_new: 'nothing new',
    alerts_handled: count => `${count} being looked after`,
    all_calm: 'All is well.',
    jobs: 'Jobs',
    no_jobs: 'Nothing is running.',
    job_kinds: {
      import: 'Import of customers',
      import_undo: 'Undoing an import',
      billing_run: 'Making bills',
      balance_check: 'Check of balances',
    },
    job_statuses: {
      queued: 'waiting its turn',
      running: 'running',
      completed: 'done',
      failed: 'failed',
      cancelled: 'cancelled',
    },
    job_counts: (done, total) => `${done} of ${total}`,
    job_successes: count => `${count} done`,
    job_failures: count => `${count} failed`,
    events: 'What happens',
    no_events: 'Nothing yet. Whatever happens appears here.',
  },
};
