/** Whether the address of the page names the provider: pure. */

/** Hosts below the base domain that speak for no provider. */
const RESERVED = new Set(['www', 'api', 'app']);

/** Where anybody's Worker has an address. */
const SHARED = /\.(workers|pages)\.dev$/;

/**
 * `melati.rukun.example` and `melati.localhost` → `melati`. The page can't know the base domain: what looks like a
 * subdomain and isn't one is found out when the API asks for the provider's name all the same.
 */
export function slugOfHost(hostname: string): string | null {
  if (/^[\d.]+$/.test(hostname) || hostname.includes(':') || SHARED.test(hostname)) return null;
  const labels = hostname.split('.');
  const of_base = labels.at(-1) === 'localhost' ? 1 : 2;
  const [first] = labels;
  return labels.length === of_base + 1 && !RESERVED.has(first!) ? first! : null;
}
