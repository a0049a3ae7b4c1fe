import { EnvHttpProxyAgent, type Dispatcher } from 'undici';

const variables = ['https_proxy', 'HTTPS_PROXY', 'http_proxy', 'HTTP_PROXY'] as const;

/** Connections by the proxies that the usual variables name, `NO_PROXY` included; undefined where there are none. */
export function proxyDispatcher(environment: NodeJS.ProcessEnv): Dispatcher | undefined {
  return variables.some((name) => (environment[name] ?? '') !== '') ? new EnvHttpProxyAgent() : undefined;
}
