import type { Endpoint } from './definition.ts';

/** One resource of the API: where it stands, and its endpoints by method and path. */
export interface Resource {
  /** Below /api/v1, with a leading slash; empty when the routes name their own first part. */
  path: string;
  /** `"POST /:id/activate"`. */
  routes: Record<string, Endpoint>;
}

export interface Route {
  method: 'get' | 'post' | 'put' | 'patch' | 'delete';
  /** Whole path, with `:id`. */
  path: string;
  endpoint: Endpoint;
}

export const API_BASE = '/api/v1';

/** All routes of some resources. A PUT is a PATCH too: both replace only the fields given. */
export function listRoutes(resources: readonly Resource[]): Route[] {
  const routes = resources.flatMap(({ path, routes: own }) =>
    Object.entries(own).flatMap(([key, endpoint]) => {
      const [method, rest] = key.split(' ') as [string, string];
      const whole = `${API_BASE}${path}${rest === '/' ? '' : rest}`;
      const methods = method === 'PUT' ? ['put', 'patch'] : [method.toLowerCase()];
      return methods.map(each => ({ method: each as Route['method'], path: whole, endpoint }));
    }),
  );
  // `/customers/stats` must be tried before `/customers/:id`
  return routes.sort((a, b) => Number(a.path.includes(':')) - Number(b.path.includes(':')));
}
