import { AppError } from '../errors.ts';
import type { HonoCtx } from '../http/definition.ts';
import { equalSignatures, hashText } from '../protocol/signature.ts';
import { EXPOSITION_TYPE, writeExposition } from './exposition.ts';
import { readGauges } from './gauges.ts';
import { metricsOf, sendCounts } from './isolate.ts';

/** `/metrics`, for whoever holds METRICS_TOKEN; without that setting there is no such route. */
export async function answerMetrics(c: HonoCtx): Promise<Response> {
  const { env } = c;
  if (!env.METRICS_TOKEN) return c.notFound();
  const given = /^Bearer (\S{1,1000})$/i.exec(c.req.header('authorization') ?? '')?.[1] ?? '';
  // hashes are of one length: neither that nor what is right of it shows in the time it takes
  const [of_given, of_token] = await Promise.all([hashText(given), hashText(env.METRICS_TOKEN)]);
  if (!equalSignatures(of_given, of_token))
    throw new AppError('UNAUTHORIZED', 'Metrics need METRICS_TOKEN as a bearer token.', undefined, {
      'WWW-Authenticate': 'Bearer',
    }).suspect('token', given);
  await sendCounts(env);
  const [counts, gauges] = await Promise.all([metricsOf(env).read(), readGauges(env)]);
  return c.body(writeExposition(counts, gauges), 200, { 'Content-Type': EXPOSITION_TYPE, 'Cache-Control': 'no-store' });
}
