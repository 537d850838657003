/** The document as it is sent: shown by the browser, kept by no cache, never taken for anything but a PDF. */
export function pdfAnswer(bytes: Uint8Array, number: string): Response {
  return new Response(bytes, {
    headers: {
      'Content-Type': 'application/pdf',
      'Content-Disposition': `inline; filename="${fileName(number)}"`,
      'Content-Length': String(bytes.byteLength),
      'Cache-Control': 'no-store',
      'X-Content-Type-Options': 'nosniff',
    },
  });
}

/** `INV-2026-11-0001` → `INV-2026-11-0001.pdf`; nothing in it means anything to a header or a file system. */
function fileName(number: string): string {
  const name = number
    .replace(/[^A-Za-z0-9_-]+/g, '-')
    .slice(0, 80)
    .replace(/^-+|-+$/g, '');
  return `${name || 'document'}.pdf`;
}
