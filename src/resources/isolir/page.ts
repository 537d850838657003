import { html } from 'hono/html';
import type { Tenant } from '../../context.ts';
import type { AppError } from '../../errors.ts';
import type { ShowRefusal } from '../../http/definition.ts';
import type { Html, HtmlPage } from '../../http/page.ts';
import { formatMoney } from '../../lib/money.ts';
import { toE164 } from '../../lib/text.ts';
import type { PaymentRow } from '../payments/table.ts';
import { STYLE } from './style.ts';
import { formatDate, formatMonth, isLanguage, OTHER, WORDS, type Language } from './words.ts';

/** The page in all its states. Whatever a provider or a customer wrote goes through `html`, which escapes it. */

/** What the page tells of the ISP. */
export interface Provider {
  name: string;
  phone: string | null;
  /** Tells what the phone number means. */
  country: string;
  email: string | null;
  payment_instructions: string | null;
}

export interface Due extends Pick<PaymentRow, 'payment_for' | 'period_month' | 'period_year' | 'due_date' | 'amount'> {
  is_overdue: boolean;
}

/** What the page tells of a customer, and all of it. */
export interface Bill {
  name: string;
  dues: readonly Due[];
  credit: number;
  is_limited_otherwise: boolean;
}

export function languageOf(tenant: Tenant | null, asked: string | undefined): Language {
  if (isLanguage(asked)) return asked;
  return tenant && isLanguage(tenant.locale) ? tenant.locale : 'id';
}

function makePage(language: Language, name: string | null, title: string, cards: (Html | null)[]): HtmlPage {
  const other = OTHER[language];
  return {
    lang: language,
    title: name === null ? title : `${title} · ${name}`,
    style: STYLE,
    body: html`<div class="sheet">
      ${name === null ? null : html`<p class="name"><bdi>${name}</bdi></p>`} ${cards}
      <p class="foot"><a href="?lang=${other.language}" lang="${other.language}">${other.name}</a></p>
    </div>`,
  };
}

const notice = (kind: 'warn' | 'good', title: string, text: string): Html =>
  html`<div class="card ${kind}">
    <h1>${title}</h1>
    <p>${text}</p>
  </div>`;

const formCard = (language: Language): Html => {
  const words = WORDS[language];
  return html`<form class="card" method="post" action="?lang=${language}">
    <h2>${words.look_up}</h2>
    <p>${words.look_up_why}</p>
    <label>
      ${words.customer_code} <span class="hint">${words.customer_code_hint}</span>
      <input
        name="customer_code"
        type="text"
        required
        maxlength="40"
        autocomplete="off"
        autocapitalize="characters"
        autocorrect="off"
        spellcheck="false"
      />
    </label>
    <label>
      ${words.phone} <span class="hint">${words.phone_hint}</span>
      <input name="phone" type="tel" required maxlength="30" autocomplete="tel" />
    </label>
    <button type="submit">${words.look_up}</button>
  </form>`;
};

const payCard = (language: Language, { payment_instructions }: Provider): Html => {
  const words = WORDS[language];
  return html`<div class="card">
    <h2>${words.how_to_pay}</h2>
    <pre dir="auto">${payment_instructions ?? words.ask_how_to_pay}</pre>
  </div>`;
};

function contactCard(language: Language, { phone, country, email }: Provider): Html | null {
  if (phone === null && email === null) return null;
  const words = WORDS[language];
  const number = phone === null ? null : toE164(phone, country);
  return html`<div class="card">
    <h2>${words.contact}</h2>
    ${phone === null ? null : number === null ? html`<p><bdi>${phone}</bdi></p>` : phoneLinks(words.call, phone, number)}
    ${email === null ? null : html`<a class="button plain" href="mailto:${encodeAddress(email)}"><bdi>${email}</bdi></a>`}
  </div>`;
}

const phoneLinks = (call: string, phone: string, number: string): Html =>
  html`<a class="button plain" href="tel:${number}">${call} <bdi>${phone}</bdi></a>
    <a class="button plain" href="https://wa.me/${number.slice(1)}">WhatsApp</a>`;

/** Nothing in an address may add a subject or another recipient. */
const encodeAddress = (email: string): string => encodeURIComponent(email.toWellFormed()).replaceAll('%40', '@');

const backCard = (language: Language): Html =>
  html`<a class="button plain" href="?lang=${language}">${WORDS[language].back}</a>`;

export function showStart(provider: Provider, language: Language): HtmlPage {
  const words = WORDS[language];
  return makePage(language, provider.name, words.limited, [
    notice('warn', words.limited, words.limited_why),
    formCard(language),
    payCard(language, provider),
    contactCard(language, provider),
  ]);
}

interface Shown {
  language: Language;
  currency: string;
}

/** What is owed; for nobody the same page, whyever nobody is found, and without what was typed. */
export function showBill(provider: Provider, bill: Bill | null, { language, currency }: Shown): HtmlPage {
  const words = WORDS[language];
  const { name } = provider;
  const contact = contactCard(language, provider);
  if (!bill)
    return makePage(language, name, words.unknown_customer, [
      notice('warn', words.unknown_customer, words.unknown_customer_why),
      formCard(language),
      payCard(language, provider),
      contact,
    ]);
  const after = bill.is_limited_otherwise ? words.limited_otherwise : words.recovers;
  if (bill.dues.length === 0)
    return makePage(language, name, words.nothing_owed, [
      notice(bill.is_limited_otherwise ? 'warn' : 'good', words.nothing_owed, after),
      bill.credit > 0 ? creditCard(bill.credit, { language, currency }) : null,
      contact,
      backCard(language),
    ]);
  return makePage(language, name, words.look_up, [
    duesCard(bill, { language, currency }),
    payCard(language, provider),
    contact,
    backCard(language),
  ]);
}

const moneyRow = (kind: string, label: string, amount: number, { language, currency }: Shown): Html =>
  html`<tr class="${kind}">
    <td>${label}</td>
    <td class="sum">${formatMoney(amount, currency, language)}</td>
  </tr>`;

const creditCard = (credit: number, shown: Shown): Html =>
  html`<div class="card">
    <table>
      ${moneyRow('credit', WORDS[shown.language].credit, credit, shown)}
    </table>
  </div>`;

function duesCard({ name, dues, credit, is_limited_otherwise }: Bill, shown: Shown): Html {
  const words = WORDS[shown.language];
  const total = dues.reduce((sum, { amount }) => sum + amount, 0);
  return html`<div class="card warn">
    <h1>${words.dues_of(name)}</h1>
    <table>
      ${dues.map(due => dueRow(due, shown))} ${moneyRow('total', words.total, total, shown)}
      ${credit > 0 ? moneyRow('credit', words.credit, credit, shown) : null}
    </table>
    <p>${is_limited_otherwise ? words.limited_otherwise : words.after_payment}</p>
  </div>`;
}

function dueRow(due: Due, { language, currency }: Shown): Html {
  const words = WORDS[language];
  const { period_month: month, period_year: year } = due;
  const purpose = words.purposes[due.payment_for];
  const period = month === null || year === null ? null : formatMonth(month, year, language);
  return html`<tr>
    <td>
      <span class="what">${purpose} ${period && html`<span class="unit">${period}</span>`}</span>
      <span class="when">${words.due_on} <span class="unit">${formatDate(due.due_date, language)}</span></span>
      ${due.is_overdue ? html`<span class="when late">${words.overdue}</span>` : null}
    </td>
    <td class="sum">${formatMoney(due.amount, currency, language)}</td>
  </tr>`;
}

/** A refusal costs no read: what the directory knows of the ISP must do. */
export const showRefusal: ShowRefusal = (refusal, { tenant, lang, request_id }) => {
  const language = languageOf(tenant, lang);
  const words = WORDS[language];
  const name = tenant?.name ?? null;
  switch (refusal.code) {
    case 'NOT_FOUND':
      return makePage(language, name, words.no_page, [notice('warn', words.no_page, words.no_page_why)]);
    case 'TENANT_SUSPENDED':
      return makePage(language, name, words.not_open, [notice('warn', words.not_open, words.not_open_why)]);
    case 'RATE_LIMIT':
      return makePage(language, name, words.too_many, [
        notice('warn', words.too_many, words.wait(minutesToWait(refusal))),
        formCard(language),
        backCard(language),
      ]);
    case 'INTERNAL_ERROR':
      return makePage(language, name, words.failed, [
        notice('warn', words.failed, `${words.failed_why} ${request_id}`),
        backCard(language),
      ]);
    default:
      return makePage(language, name, words.bad_input, [
        notice('warn', words.bad_input, words.bad_input_why),
        formCard(language),
        backCard(language),
      ]);
  }
};

const minutesToWait = ({ headers }: AppError): number => Math.max(1, Math.ceil(Number(headers['Retry-After']) / 60));
