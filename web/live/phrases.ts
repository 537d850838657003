import type { Language } from './language.ts';

/** The sentences about what happens, in both languages. */

interface Due {
  name: string;
  amount: string;
}

type OfName = (name: string) => string;
type OfDue = (due: Due) => string;

interface Phrases {
  /** A customer whose name isn't known (yet). */
  somebody: string;
  customer_created: OfName;
  customer_changed: OfName;
  /** By the word that the audit log has for it. */
  customer_updated: Record<string, OfName>;
  /** By the status before. */
  became_active: Record<string, OfName>;
  became_suspended: OfName;
  became_terminated: OfName;
  became_waiting: OfName;
  payment: Record<'created' | 'paid' | 'overdue' | 'voided' | 'reopened' | 'rest' | 'changed', OfDue>;
  invoice_created: (name: string, number: string) => string;
  invoice: Record<'voided' | 'changed', OfName>;
  receipt_created: (name: string, amount: string) => string;
  receipt: Record<'voided' | 'changed', OfName>;
  ticket: Record<'ticket:created' | 'ticket:updated', OfName>;
  things: Record<'router' | 'device' | 'bridge', string>;
  reach: Record<'online' | 'offline' | 'unknown' | 'created' | 'deleted', OfName>;
  line: Record<
    'pending' | 'in_sync' | 'drifted' | 'conflict' | 'failed' | 'gone',
    (router: string, whose: string) => string
  >;
  alert: Record<'alert:opened' | 'alert:acknowledged' | 'alert:resolved', OfName>;
  alerts: Record<string, string>;
  unknown: (event: string) => string;
}

/** `: Rp150.000`, where the amount is known. */
const after = (amount: string): string => (amount === '' ? '' : `: ${amount}`);
const before = (amount: string): string => (amount === '' ? '' : ` ${amount}`);

export const PHRASES: Record<Language, Phrases> = {
  id: {
    somebody: 'seorang pelanggan',
    customer_created: name => `Pelanggan baru: ${name}`,
    customer_changed: name => `Data ${name} diubah`,
    customer_updated: {
      deleted: name => `${name} dihapus dari daftar`,
      plan_changed: name => `Paket ${name} diganti`,
      plan_change_planned: name => `Penggantian paket ${name} dijadwalkan`,
      plan_change_dropped: name => `Penggantian paket ${name} dibatalkan`,
      fee_followed_plan: name => `Harga ${name} mengikuti paketnya`,
      held: name => `${name} berjanji membayar`,
      hold_ended: name => `Janji bayar ${name} berakhir`,
      photo_stored: name => `Foto ${name} disimpan`,
    },
    became_active: {
      pending_activation: name => `${name} mulai aktif`,
      suspended: name => `${name} aktif kembali`,
      terminated: name => `${name} berlangganan lagi`,
    },
    became_suspended: name => `${name} diisolir`,
    became_terminated: name => `${name} berhenti berlangganan`,
    became_waiting: name => `${name} menunggu pemasangan`,
    payment: {
      created: ({ name, amount }) => `Tagihan baru untuk ${name}${after(amount)}`,
      paid: ({ name, amount }) => `Tagihan ${name} lunas${after(amount)}`,
      overdue: ({ name, amount }) => `Tagihan ${name} lewat jatuh tempo${after(amount)}`,
      voided: ({ name, amount }) => `Tagihan ${name} dibatalkan${after(amount)}`,
      reopened: ({ name, amount }) => `Tagihan ${name} terbuka lagi${after(amount)}`,
      rest: ({ name, amount }) => `Sisa tagihan ${name}${after(amount)}`,
      changed: ({ name, amount }) => `Tagihan ${name} diubah${after(amount)}`,
    },
    invoice_created: (name, number) => `Faktur ${number} untuk ${name}`.replace('  ', ' '),
    invoice: { voided: name => `Faktur ${name} dibatalkan`, changed: name => `Faktur ${name} diubah` },
    receipt_created: (name, amount) => `Uang masuk${before(amount)} dari ${name}`,
    receipt: { voided: name => `Kuitansi ${name} dibatalkan`, changed: name => `Kuitansi ${name} diubah` },
    ticket: {
      'ticket:created': name => `Laporan baru dari ${name}`,
      'ticket:updated': name => `Laporan ${name} ditangani`,
    },
    things: { router: 'Router', device: 'Perangkat', bridge: 'Bridge' },
    reach: {
      online: name => `${name} terhubung`,
      offline: name => `${name} terputus`,
      unknown: name => `${name}: keadaannya belum diketahui`,
      created: name => `${name} ditambahkan`,
      deleted: name => `${name} dihapus`,
    },
    line: {
      pending: (router, whose) => `${router} sedang disesuaikan untuk ${whose}`,
      in_sync: (router, whose) => `${router} sudah sesuai untuk ${whose}`,
      drifted: (router, whose) => `${router}: isi untuk ${whose} diubah orang`,
      conflict: (router, whose) => `${router}: isi untuk ${whose} bukan milik Rukun`,
      failed: (router, whose) => `${router} gagal disesuaikan untuk ${whose}`,
      gone: (router, whose) => `${router}: isi untuk ${whose} sudah dicabut`,
    },
    alert: {
      'alert:opened': what => `Peringatan: ${what}`,
      'alert:acknowledged': what => `Sedang ditangani: ${what}`,
      'alert:resolved': what => `Teratasi: ${what}`,
    },
    alerts: {
      bandwidth: 'trafik melampaui batas',
      device_offline: 'perangkat terputus',
      router_offline: 'router terputus',
      bridge_offline: 'bridge terputus',
      low_stock: 'stok menipis',
      backup_failed: 'pencadangan gagal',
      drift: 'isi router diubah orang',
      quota: 'kuota habis',
    },
    unknown: event => `Kejadian: ${event}`,
  },
  en: {
    somebody: 'a customer',
    customer_created: name => `New customer: ${name}`,
    customer_changed: name => `Data of ${name} changed`,
    customer_updated: {
      deleted: name => `${name} was taken off the list`,
      plan_changed: name => `${name} has another plan`,
      plan_change_planned: name => `A change of plan is set for ${name}`,
      plan_change_dropped: name => `The change of plan set for ${name} was taken back`,
      fee_followed_plan: name => `The price of ${name} followed the plan`,
      held: name => `${name} promised to pay`,
      hold_ended: name => `The promise of ${name} ended`,
      photo_stored: name => `A photo of ${name} was stored`,
    },
    became_active: {
      pending_activation: name => `${name} is active now`,
      suspended: name => `${name} is active again`,
      terminated: name => `${name} subscribed again`,
    },
    became_suspended: name => `${name} was put on isolir`,
    became_terminated: name => `${name} ended the subscription`,
    became_waiting: name => `${name} waits for the installation`,
    payment: {
      created: ({ name, amount }) => `New bill for ${name}${after(amount)}`,
      paid: ({ name, amount }) => `Bill of ${name} is paid${after(amount)}`,
      overdue: ({ name, amount }) => `Bill of ${name} is overdue${after(amount)}`,
      voided: ({ name, amount }) => `Bill of ${name} was voided${after(amount)}`,
      reopened: ({ name, amount }) => `Bill of ${name} is open again${after(amount)}`,
      rest: ({ name, amount }) => `Left of the bill of ${name}${after(amount)}`,
      changed: ({ name, amount }) => `Bill of ${name} changed${after(amount)}`,
    },
    invoice_created: (name, number) => `Invoice ${number} for ${name}`.replace('  ', ' '),
    invoice: { voided: name => `Invoice of ${name} was voided`, changed: name => `Invoice of ${name} changed` },
    receipt_created: (name, amount) => `Money in${before(amount)} from ${name}`,
    receipt: { voided: name => `Receipt of ${name} was voided`, changed: name => `Receipt of ${name} changed` },
    ticket: {
      'ticket:created': name => `New ticket of ${name}`,
      'ticket:updated': name => `Ticket of ${name} moved on`,
    },
    things: { router: 'Router', device: 'Device', bridge: 'Bridge' },
    reach: {
      online: name => `${name} is online`,
      offline: name => `${name} is offline`,
      unknown: name => `${name}: state not known yet`,
      created: name => `${name} was added`,
      deleted: name => `${name} was removed`,
    },
    line: {
      pending: (router, whose) => `${router} is being brought up to date for ${whose}`,
      in_sync: (router, whose) => `${router} is up to date for ${whose}`,
      drifted: (router, whose) => `${router}: somebody changed the entry of ${whose}`,
      conflict: (router, whose) => `${router}: the entry of ${whose} isn’t Rukun’s`,
      failed: (router, whose) => `${router} could not be brought up to date for ${whose}`,
      gone: (router, whose) => `${router}: the entry of ${whose} is gone`,
    },
    alert: {
      'alert:opened': what => `Alert: ${what}`,
      'alert:acknowledged': what => `Being looked after: ${what}`,
      'alert:resolved': what => `Solved: ${what}`,
    },
    alerts: {
      bandwidth: 'traffic is above the limit',
      device_offline: 'a device is offline',
      router_offline: 'a router is offline',
      bridge_offline: 'a bridge is offline',
      low_stock: 'stock is low',
      backup_failed: 'a backup failed',
      drift: 'somebody changed what a router holds',
      quota: 'a quota is used up',
    },
    unknown: event => `Event: ${event}`,
  },
};
