import type { RouterOptions } from 'chanfana';

/** The head of the OpenAPI document; the rest comes from the endpoints themselves. */
export const OPENAPI_OPTIONS: RouterOptions = {
  docs_url: null,
  redoc_url: null,
  openapi_url: '/openapi.json',
  openapiVersion: '3.1',
  passthroughErrors: true,
  generateOperationIds: false,
  schema: {
    info: {
      title: 'Rukun',
      version: '0.1.0',
      description: [
        'Runs a small internet provider: customers, plans, and what its MikroTik routers must hold.',
        'JSON in and out, snake_case. Instants are ISO 8601 UTC; business dates are YYYY-MM-DD in the provider’s time',
        'zone; money is whole units of its currency; bandwidth is kbit/s. A PATCH is the same as a PUT: only the fields',
        'given are replaced. The provider is named by subdomain, by `X-Tenant-ID` (id or slug) or by the token; all that',
        'are given must agree.',
      ].join(' '),
    },
    servers: [{ url: '/' }],
  },
};

export const BEARER = { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } as const;
