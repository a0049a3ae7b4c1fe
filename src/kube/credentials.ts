import type { RequestOptions } from 'node:https';
import { createHash } from 'node:crypto';
import type { DispatcherOptions, KubeConfig } from '@kubernetes/client-node';
import { ConfigError, messageOf } from './errors.ts';

/** Where an API server is, and what is to be sent to it. */
export interface CredentialSource {
  /** Scheme, host and port. */
  readonly origin: string;
  /** Path before `/api`, without a slash at the end: `''` mostly. */
  readonly basePath: string;
  /** What to send and how to connect, now. Throws {@link ConfigError} when a token file or plugin fails. */
  current(): Promise<Credential>;
  /** After a 401: the next `current` reads token files and runs plugins again. */
  renew(): void;
}

export interface Credential {
  readonly headers: Readonly<Record<string, string>>;
  /** How to connect: TLS material, proxy. */
  readonly dispatcher: DispatcherOptions;
  /** Changes when `dispatcher` does: connections made before are no longer good. */
  readonly fingerprint: string;
}

/** Credentials are taken as good for this long before client-node is asked again (it re-reads token files every 60 s, exec tokens at expiry). */
const freshMs = 10_000;

/**
 * Server address and credentials of a kubeconfig's current context, through client-node (token files, exec plugins, OIDC, client certificates).
 * It works on a private copy: neither another kubeconfig with the same user name nor a later change of context can mix credentials.
 */
export class KubeConfigCredentials implements CredentialSource {
  readonly origin: string;
  readonly basePath: string;
  readonly #config: () => KubeConfig;
  #loaded: { readonly until: number; readonly credential: Promise<Credential> } | undefined;
  #own: KubeConfig;

  constructor(config: KubeConfig) {
    const context = config.getContextObject(config.getCurrentContext());
    const cluster = config.getCurrentCluster();
    if (!context || !cluster)
      throw new ConfigError(
        `kubeconfig: current-context "${config.getCurrentContext()}" has no cluster; name an existing context or set KUBECONFIG`,
      );
    const url = URL.parse(cluster.server);
    if (!url || !['http:', 'https:'].includes(url.protocol))
      throw new ConfigError(`kubeconfig: cluster "${cluster.name}": server "${cluster.server}" must be an http or https URL`);
    if (cluster.proxyUrl?.startsWith('socks'))
      throw new ConfigError(`kubeconfig: cluster "${cluster.name}": proxy-url "${cluster.proxyUrl}": use an http or https proxy`);
    this.origin = url.origin;
    this.basePath = url.pathname.replace(/\/+$/, '');
    const user = config.getCurrentUser() ?? { name: 'nobody' };
    // by way of the object, so that a program that has none does not load client-node: it is tens of megabytes
    const Config = config.constructor as new () => KubeConfig;
    this.#config = () => {
      const own = new Config();
      own.loadFromOptions({
        // client-node refuses plain HTTP unless TLS verification is off, which means nothing there
        clusters: [{ ...cluster, skipTLSVerify: cluster.skipTLSVerify || url.protocol === 'http:' }],
        users: [{ ...user }],
        contexts: [{ name: context.name, cluster: cluster.name, user: user.name }],
        currentContext: context.name,
      });
      return own;
    };
    this.#own = this.#config();
  }

  current(): Promise<Credential> {
    if (!this.#loaded || performance.now() > this.#loaded.until) {
      const credential = this.#load();
      this.#loaded = { until: performance.now() + freshMs, credential };
      credential.catch(() => this.#forgetLoaded(credential));
    }
    return this.#loaded.credential;
  }

  renew(): void {
    this.#own = this.#config();
    this.#loaded = undefined;
  }

  #forgetLoaded(credential: Promise<Credential>): void {
    if (this.#loaded?.credential === credential) this.#loaded = undefined;
  }

  async #load(): Promise<Credential> {
    const own = this.#own;
    const options: RequestOptions = {};
    try {
      await own.applyToHTTPSOptions(options);
      const { ca, cert, key, pfx, passphrase, rejectUnauthorized, servername } = options;
      const tls = { ca, cert, key, pfx, passphrase, rejectUnauthorized, servername };
      const dispatcher = own.createDispatcherOptions(own.getCurrentCluster(), tls);
      return { headers: headersOf(options), dispatcher, fingerprint: fingerprintOf(dispatcher) };
    } catch (error) {
      throw new ConfigError(`kubeconfig: user "${own.getCurrentUser()?.name ?? ''}": ${messageOf(error)}`, { cause: error });
    }
  }
}

function headersOf({ headers, auth }: RequestOptions): Record<string, string> {
  const result: Record<string, string> = {};
  if (auth) result['authorization'] = `Basic ${Buffer.from(auth).toString('base64')}`;
  // token files may end in a newline, which no header may
  for (const [name, value] of Object.entries(headers ?? {})) result[name.toLowerCase()] = String(value).trim();
  return result;
}

export function fingerprintOf(dispatcher: DispatcherOptions): string {
  return createHash('sha256').update(JSON.stringify(dispatcher)).digest('hex');
}
