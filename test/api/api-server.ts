import { readFileSync } from 'node:fs';
import { Agent, request } from 'undici';
import { customResourceDefinition } from '../../src/api/crd.ts';
import { routerCustomResourceDefinition } from '../../src/api/r2rrouter-crd.ts';
import { group, plural, version } from '../../src/api/r2rdeployment.ts';
import { controlPlane } from '../cluster/control-plane.ts';

export interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown> & { readonly message?: string };
}

/** A bare client of the test API server: what it answers is what users see. */
export interface ApiServer {
  send(method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, body?: object, contentType?: string): Promise<Answer>;
  /** The same client with another bearer token. */
  as(token: string): Pick<ApiServer, 'send'>;
  /** Makes a namespace and returns its name. */
  namespace(prefix: string): Promise<string>;
  close(): Promise<void>;
}

export function resourcePath(namespace: string, name = ''): string {
  return `/apis/${group}/${version}/namespaces/${namespace}/${plural}${name && `/${name}`}`;
}

/** Starts the shared control plane, applies the CRDs and waits until their resources are served. */
export async function apiServer(): Promise<ApiServer> {
  const { server, caFile, adminToken } = await controlPlane();
  const dispatcher = new Agent({ connect: { ca: readFileSync(caFile) } });
  const sender =
    (token: string): ApiServer['send'] =>
    async (method, path, body, contentType = 'application/json') => {
      const answer = await request(server + path, {
        dispatcher,
        method,
        headers: { authorization: `Bearer ${token}`, 'content-type': contentType, accept: 'application/json' },
        ...(body && { body: JSON.stringify(body) }),
      });
      const text = await answer.body.text();
      // a path that is not served (yet) is answered in plain text
      const isJson = String(answer.headers['content-type']).startsWith('application/json');
      return { status: answer.statusCode, body: isJson ? (JSON.parse(text) as Answer['body']) : { message: text } };
    };
  const send = sender(adminToken);
  for (const crd of [customResourceDefinition(), routerCustomResourceDefinition()]) {
    const { name } = crd.metadata;
    const path = `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${name}?fieldManager=test&force=true`;
    const applied = await send('PATCH', path, crd, 'application/apply-patch+yaml');
    if (applied.status > 201) throw new Error(`the CRD ${name} was refused: ${applied.body.message ?? ''}`);
    const deadline = Date.now() + 60_000;
    while ((await send('GET', `/apis/${group}/${version}/${crd.spec.names.plural}`)).status !== 200) {
      if (Date.now() > deadline) throw new Error(`the CRD ${name} was not served within 60 s`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  return {
    send,
    as: (token) => ({ send: sender(token) }),
    namespace: async (prefix) => {
      const name = `${prefix}-${Math.random().toString(36).slice(2, 8)}`;
      const { status, body } = await send('POST', '/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
      if (status !== 201) throw new Error(`namespace ${name}: ${body.message ?? ''}`);
      return name;
    },
    close: () => dispatcher.close(),
  };
}
