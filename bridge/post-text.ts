import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';

export interface Posted {
  status: number;
  headers: Record<string, string | undefined>;
  text: string;
}

/** The network, as the reporter sees it. */
export type PostText = (
  url: URL,
  headers: Record<string, string>,
  body: string,
  signal: AbortSignal,
) => Promise<Posted>;

const LIMIT_MS = 60_000;
const MOST_ANSWER_BYTES = 8 * 1024 * 1024;

/** Follows no redirect. node:http, because fetch costs a daemon 10 MB for its life. */
export const postText: PostText = (url, headers, body, signal) =>
  new Promise((resolve, reject) => {
    const send = url.protocol === 'https:' ? requestHttps : requestHttp;
    const bytes = Buffer.from(body);
    const options = {
      method: 'POST',
      headers: { ...headers, 'content-length': String(bytes.length) },
      agent: false,
      signal: AbortSignal.any([signal, AbortSignal.timeout(LIMIT_MS)]),
    } as const;
    const request = send(url, options, response => {
      const chunks: Buffer[] = [];
      let length = 0;
      response.on('data', (chunk: Buffer) => {
        length += chunk.length;
        if (length > MOST_ANSWER_BYTES) request.destroy(new Error('the answer is too long'));
        else chunks.push(chunk);
      });
      response.on('error', reject);
      response.on('end', () => {
        const flat = Object.entries(response.headers).map(([name, value]) => [name, value?.toString()]);
        const text = Buffer.concat(chunks).toString('utf8');
        resolve({ status: response.statusCode ?? 0, headers: Object.fromEntries(flat), text });
      });
    });
    request.on('error', reject);
    request.end(bytes);
  });
