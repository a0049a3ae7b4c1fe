import { Agent, ProxyAgent, type Dispatcher } from 'undici';
import type { Credential, CredentialSource } from './credentials.ts';
import { ConfigError } from './errors.ts';

export interface Outgoing {
  readonly method: Dispatcher.HttpMethod;
  /** With query, from the server's root. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | undefined;
}

export interface Incoming {
  readonly status: number;
  /** First value of a header, by lower-case name. */
  readonly header: (name: string) => string | undefined;
  readonly body: Dispatcher.ResponseData['body'];
}

interface Pools {
  readonly fingerprint: string;
  readonly calls: Dispatcher;
  readonly watches: Dispatcher;
}

/** Parallel calls beyond this wait for a free connection. */
const callConnections = 16;

/**
 * Two pools of keep-alive connections to one server: one for calls, and one for watches, each of which keeps a connection busy
 * (in one bounded pool a dozen watches would leave nothing for the calls). The pools are replaced only when TLS material changes.
 */
export class Transport {
  readonly #credentials: CredentialSource;
  readonly #userAgent: string;
  #pools: Pools | undefined;
  #closed = false;

  constructor(credentials: CredentialSource, userAgent: string) {
    this.#credentials = credentials;
    this.#userAgent = userAgent;
  }

  get server(): string {
    return this.#credentials.origin + this.#credentials.basePath;
  }

  /** After a 401. */
  renewCredentials(): void {
    this.#credentials.renew();
  }

  async send(request: Outgoing, use: 'call' | 'watch', signal: AbortSignal): Promise<Incoming> {
    const credential = await abortable(this.#credentials.current(), signal);
    const pools = this.#poolsFor(credential);
    const asked = (use === 'watch' ? pools.watches : pools.calls).request({
      origin: this.#credentials.origin,
      path: this.#credentials.basePath + request.path,
      method: request.method,
      headers: { accept: 'application/json', 'user-agent': this.#userAgent, ...credential.headers, ...request.headers },
      body: request.body ?? null,
      signal,
    });
    // undici looks at the signal only once it has a connection: one that is slow to come must not hold the caller
    const answer = await abortable(asked, signal);
    // a body that is dropped half-read may fail later, when nobody listens any more
    answer.body.on('error', () => undefined);
    const header = (name: string): string | undefined => {
      const value = answer.headers[name];
      return Array.isArray(value) ? value[0] : value;
    };
    return { status: answer.statusCode, header, body: answer.body };
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([this.#pools?.calls.destroy(), this.#pools?.watches.destroy()]);
  }

  #poolsFor({ fingerprint, dispatcher }: Credential): Pools {
    if (this.#closed) throw new ConfigError('this client is closed');
    if (this.#pools?.fingerprint !== fingerprint) {
      const old = this.#pools;
      this.#pools = { fingerprint, calls: poolOf(dispatcher, callConnections), watches: poolOf(dispatcher, null) };
      // waits for what is under way; a failure there is the caller's to see
      void Promise.allSettled([old?.calls.close(), old?.watches.close()]);
    }
    return this.#pools;
  }
}

function poolOf(options: Credential['dispatcher'], connections: number | null): Dispatcher {
  const common = {
    connections,
    keepAliveTimeout: 30_000,
    // each call has its own deadline; undici's would cut quiet watches
    headersTimeout: 0,
    bodyTimeout: 0,
    // one stream a connection: a lost packet or a reset stops one call, not all
    allowH2: false,
  };
  // the kernel notices a peer that vanished without a word after this much silence
  const keepAlive = { keepAlive: true, keepAliveInitialDelay: 30_000 };
  switch (options.type) {
    case 'none':
      return new Agent({ ...common, connect: keepAlive });
    case 'agent':
      return new Agent({ ...common, connect: { ...options.connect, ...keepAlive } });
    case 'proxy':
      return new ProxyAgent({ ...common, uri: options.uri, requestTls: { ...options.requestTls, ...keepAlive } });
    case 'socks':
      throw new ConfigError(`kubeconfig: proxy-url "${options.uri}": use an http or https proxy`);
  }
}

/** Stops waiting when the signal aborts: an exec plugin may hang for ever, a connection may take its time. */
async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  let stop: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason as Error);
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    if (stop) signal.removeEventListener('abort', stop);
  }
}
