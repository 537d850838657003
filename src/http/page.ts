import { html, raw } from 'hono/html';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import type { HonoCtx } from './definition.ts';

/** Pages for people: one document without script, whose only style sheet stands in it. All else put in is escaped. */

export type Html = ReturnType<typeof html>;

export interface HtmlPage {
  lang: string;
  title: string;
  /** Ours, to the letter: the browser takes no other. */
  style: string;
  body: Html;
}

/** In one piece: a blank more, and the hash is of something else. */
const styleElement = (style: string): Html => raw(`<style>${style}</style>`);

const renderDocument = ({ lang, title, style, body }: HtmlPage): Html =>
  html`<!doctype html>
    <html lang="${lang}">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="format-detection" content="telephone=no" />
        <meta name="robots" content="noindex" />
        <title>${title}</title>
        ${styleElement(style)}
      </head>
      <body>
        ${body}
      </body>
    </html>`;

/** Nothing is fetched, framed or run. A browser from before hashes passes by the hash; all later ones by the other word. */
async function makePolicy(style: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(style));
  const hash = btoa(String.fromCharCode(...new Uint8Array(digest)));
  const styles = `'sha256-${hash}' 'unsafe-inline'`;
  return `default-src 'none'; style-src ${styles}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`;
}

export async function answerPage(
  c: HonoCtx,
  page: HtmlPage,
  status: ContentfulStatusCode,
  headers: Record<string, string> = {},
): Promise<Response> {
  return c.html(renderDocument(page), status, {
    'Content-Security-Policy': await makePolicy(page.style),
    'Cache-Control': 'no-store',
    'Referrer-Policy': 'no-referrer',
    'X-Content-Type-Options': 'nosniff',
    'X-Frame-Options': 'DENY',
    ...headers,
  });
}
