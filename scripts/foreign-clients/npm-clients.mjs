// How each npm client is asked: a function of the connection's particulars that signs in and gives back one that talks.
const listWords = ({ attributes, queries }) => [
  ...Object.entries(attributes).map(([key, value]) => `=${key}=${value}`),
  ...Object.entries(queries).map(([key, value]) => `?${key}=${value}`),
];

async function useNodeRouteros({ name, load, tls, ...router }) {
  const { RouterOSAPI } = load(name);
  const api = await new RouterOSAPI({ ...router, tls, timeout: 5 }).connect();
  return request => api.write(request.command, listWords(request));
}

async function useRouterosClient({ name, load, tls, ...router }) {
  const { RouterOSClient } = load(name);
  const api = await new RouterOSClient({ ...router, tls, timeout: 5 }).connect();
  return async ({ command, attributes: { '.id': id, '.proplist': fields, ...attributes }, queries }) => {
    const [, path, verb] = /^(.*)\/([^/]+)$/.exec(command);
    const menu = api.menu(path);
    for (const [key, value] of Object.entries(queries)) menu.where(key, value);
    if (verb === 'print') return fields ? menu.only(fields.split(',')).get() : menu.get();
    if (verb === 'add') return menu.add(attributes);
    if (verb === 'set') return menu.set(attributes, id);
    return verb === 'disable' || verb === 'remove' ? menu[verb](id) : menu.exec(verb, attributes);
  };
}

async function useMikronodeNg({ name, load, host, port, user, password, tls }) {
  const connection = load(name).getConnection(host, user, password, { port, tls, timeout: 5, closeOnTimeout: true });
  await connection.getConnectPromise();
  return request => connection.getCommandPromise([request.command, ...listWords(request)]);
}

async function useMikronode({ name, load, host, port, user, password, tls }) {
  const library = load(name);
  const MikroNode = library.MikroNode ?? library;
  const device = new MikroNode(host, port, 5);
  if (tls) device.TLS(tls);
  const connection = await (await device.connect())[0](user, password);
  connection.closeOnDone?.(false);
  return request =>
    new Promise((resolve, reject) => {
      const channel = connection.openChannel();
      const succeed = ({ data }) => resolve(Object.values(MikroNode.resultsToObj(data ?? [])));
      if (channel.done) channel.done.subscribe(succeed);
      else channel.on('done', succeed);
      if (channel.trap) channel.trap.subscribe(({ data }) => reject(new Error(JSON.stringify(data))));
      else channel.on('trap', reject);
      channel.write([request.command, ...listWords(request)].join('\n'))?.catch?.(reject);
    });
}

async function useMikroRouteros({ name, load, host, port, user, password }) {
  const client = new (load(name).RouterOSClient)(host, port, 5000);
  await client.connect();
  await client.login(user, password);
  return ({ command, attributes, queries }) => client.runQuery(command, { ...attributes, ...queries });
}

async function useRosClient({ name, load, host, port, user, password, tls }) {
  const client = new (load(name))({ host, port, username: user, password, tls: tls !== undefined });
  client.on('error', () => {});
  await client.connect();
  return request => client.send([request.command, ...listWords(request)]);
}

async function useRouterosNode({ name, load, host, port, user, password, tls }) {
  const { Routeros } = load(name);
  const api = await new Routeros({ host, port, user, password, timeout: 5, tlsOptions: tls }).connect();
  return request => api.write([request.command, ...listWords(request)]);
}

async function useMikroapi({ name, load, host, port, user, password, tls }) {
  const { default: MikroApi } = await import(load.resolve(name));
  const client = new MikroApi({ host, port, username: user, password, tls });
  await client.connect();
  return ({ command, attributes, queries }) =>
    client.exec(command, {
      ...attributes,
      ...Object.fromEntries(Object.entries(queries).map(([key, value]) => [`?${key}`, value])),
    });
}

export const NPM_CLIENTS = {
  'node-routeros': useNodeRouteros,
  'routeros-api': useNodeRouteros,
  'routeros-client': useRouterosClient,
  'mikronode-ng': useMikronodeNg,
  'mikronode-ng2': useMikronodeNg,
  mikrotik: useMikronodeNg,
  mikronode: useMikronode,
  'mikrotik-node': useMikronode,
  'mikro-routeros': useMikroRouteros,
  'ros-client': useRosClient,
  'routeros-node': useRouterosNode,
  mikroapi: useMikroapi,
};
