import type { AddressInfo, Server } from 'node:net';

const HOST = '127.0.0.1';

/** Loopback only, always: this router's password is anybody's guess. Gives the port, also where 0 was asked for. */
export function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, HOST, () => {
      server.off('error', reject);
      resolve((server.address() as AddressInfo).port);
    });
  });
}

export function closeServer(server: Server): Promise<void> {
  return new Promise(resolve => server.close(() => resolve()));
}
