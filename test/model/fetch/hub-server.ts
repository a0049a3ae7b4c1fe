import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
export const gitBlob = (bytes: Uint8Array): string => createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');

/** A request as it arrived at one of the two hosts, and how many bytes of a file went back. */
export interface Received {
  readonly host: 'hub' | 'storage';
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  bytesSent: number;
}

export interface HubFile {
  readonly bytes: Uint8Array;
  /** In large-file storage, on another host. */
  readonly lfs: boolean;
}

/** Answers a request itself when it returns true. */
export type Intercept = (request: Received, response: ServerResponse) => boolean | Promise<boolean>;

/**
 * A hub as the public one answers (huggingface_hub's file_download.py and utils/_http.py read these headers): metadata in the headers of
 * `resolve`, large files redirected to signed addresses of a storage host, ranges, error codes.
 */
export class HubServer {
  readonly requests: Received[] = [];
  /** `org/repo` -> commit -> path. */
  readonly repositories = new Map<string, Map<string, Map<string, HubFile>>>();
  /** `org/repo` -> branch or tag -> commit. */
  readonly refs = new Map<string, Map<string, string>>();
  /** Repositories that want one of these tokens. */
  readonly tokens = new Map<string, readonly string[]>();
  /** Of those, the ones that everybody sees but only some may download. */
  readonly gated = new Set<string>();
  readonly renamed = new Map<string, string>();
  intercept: Intercept = () => false;
  readonly #hub = createServer((request, response) => void this.#handle('hub', request, response));
  readonly #storage = createServer((request, response) => void this.#handle('storage', request, response));

  readonly #urls: string[] = [];

  /** @param hosts where hub and storage listen, and what others know them by. @default free ports of this machine's loopback */
  async start(hosts: readonly { readonly port: number; readonly url: string }[] = []): Promise<this> {
    for (const [index, server] of [this.#hub, this.#storage].entries()) {
      const host = hosts[index];
      server.listen(host?.port ?? 0, host ? '0.0.0.0' : '127.0.0.1');
      await once(server, 'listening');
      this.#urls.push(host?.url ?? `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    }
    return this;
  }

  get url(): string {
    return this.#urls[0] ?? '';
  }

  get storageUrl(): string {
    return this.#urls[1] ?? '';
  }

  /** A new commit of a branch with these files; returns its id. */
  commit(repository: string, files: Readonly<Record<string, HubFile>>, branch = 'main'): string {
    const commits = this.repositories.get(repository) ?? new Map<string, Map<string, HubFile>>();
    const id = createHash('sha1').update(`${repository} ${branch} ${commits.size}`).digest('hex');
    this.repositories.set(repository, commits.set(id, new Map(Object.entries(files))));
    this.refs.set(repository, (this.refs.get(repository) ?? new Map<string, string>()).set(branch, id));
    return id;
  }

  /** File bytes that were sent, by both hosts. */
  get bytesSent(): number {
    return this.requests.reduce((sum, { bytesSent }) => sum + bytesSent, 0);
  }

  asked(host: Received['host'], method = 'GET'): readonly Received[] {
    return this.requests.filter((request) => request.host === host && request.method === method);
  }

  async stop(): Promise<void> {
    for (const server of [this.#hub, this.#storage]) {
      server.closeAllConnections();
      if (server.listening) await new Promise((resolve) => server.close(resolve));
    }
  }

  async #handle(host: Received['host'], request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url = '', headers } = request;
    const received: Received = { host, method, path: url, headers, bytesSent: 0 };
    this.requests.push(received);
    if (await this.intercept(received, response)) return;
    if (host === 'hub' && url.startsWith('/api/models/')) this.#describe(received, response);
    else if (host === 'hub') this.#resolve(received, response);
    else this.#store(received, response);
  }

  /** Which commit a revision is, and the names of its files; also of gated repositories, but not of private ones. */
  #describe(request: Received, response: ServerResponse): void {
    const [, , , org = '', repo = '', , revision = ''] = request.path.split('/').map(decodeURIComponent);
    const name = `${org}/${repo}`;
    const refuse = (status: number, code: string): void => void response.writeHead(status, { 'x-error-code': code }).end();
    const target = this.renamed.get(name);
    const commits = this.repositories.get(name);
    const commit = commits?.has(revision) ? revision : this.refs.get(name)?.get(revision);
    const files = commit === undefined ? undefined : commits?.get(commit);
    if (target !== undefined) response.writeHead(307, { location: request.path.replace(`/${name}/`, `/${target}/`) }).end();
    else if (!commits) refuse(401, 'RepoNotFound');
    else if (!files) refuse(404, 'RevisionNotFound');
    else response.end(JSON.stringify({ sha: commit, siblings: [...files.keys()].map((rfilename) => ({ rfilename })) }));
  }

  #resolve(request: Received, response: ServerResponse): void {
    const [, org = '', repo = '', word, revision = '', ...rest] = request.path.split('/').map(decodeURIComponent);
    const name = `${org}/${repo}`;
    const refuse = (status: number, code: string, message: string): void => {
      response.writeHead(status, { 'x-error-code': code, 'x-error-message': message }).end();
    };
    const target = this.renamed.get(name);
    if (target !== undefined) {
      response.writeHead(307, { location: request.path.replace(`/${name}/`, `/${target}/`) }).end();
      return;
    }
    const given = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
    const wanted = this.tokens.get(name);
    if (given === 'expired') {
      refuse(401, '', 'Invalid credentials in Authorization header');
      return;
    }
    const commits = this.repositories.get(name);
    if (wanted && given === undefined && this.gated.has(name)) {
      refuse(401, 'GatedRepo', `Access to model ${name} is restricted`);
      return;
    }
    if (!commits || word !== 'resolve' || (wanted && given === undefined)) {
      refuse(401, 'RepoNotFound', 'Repository not found');
      return;
    }
    if (wanted && !wanted.includes(given ?? '')) {
      refuse(403, 'GatedRepo', `Access to model ${name} is restricted`);
      return;
    }
    const commit = commits.has(revision) ? revision : this.refs.get(name)?.get(revision);
    if (commit === undefined) {
      refuse(404, 'RevisionNotFound', `Invalid rev id: ${revision}`);
      return;
    }
    const file = commits.get(commit)?.get(rest.join('/'));
    if (!file) {
      refuse(404, 'EntryNotFound', 'Entry not found');
      return;
    }
    const common = { 'x-repo-commit': commit, 'accept-ranges': 'bytes' };
    if (file.lfs) {
      const digest = sha256(file.bytes);
      response.writeHead(302, {
        ...common,
        'x-linked-etag': `"${digest}"`,
        'x-linked-size': String(file.bytes.length),
        location: `${this.storageUrl}/${digest}?signature=secret-signature`,
      });
      response.end();
      return;
    }
    sendRange(request, response, file.bytes, { ...common, etag: `"${gitBlob(file.bytes)}"` });
  }

  #store(request: Received, response: ServerResponse): void {
    const digest = request.path.slice(1).split('?')[0] ?? '';
    for (const commits of this.repositories.values())
      for (const files of commits.values())
        for (const { bytes } of files.values())
          // storage has tags of its own, which are no digests of the file
          if (sha256(bytes) === digest) {
            sendRange(request, response, bytes, { etag: `"${digest.slice(0, 32)}-2"` });
            return;
          }
    response.writeHead(403).end();
  }
}

/** Answers with a file, or the range that was asked for. */
export function sendRange(request: Received, response: ServerResponse, bytes: Uint8Array, headers: Readonly<Record<string, string>>): void {
  const { range, 'if-range': ifRange } = request.headers;
  const start = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0);
  const partial = range !== undefined && (ifRange === undefined || ifRange === headers['etag']);
  if (partial && start >= bytes.length) {
    response.writeHead(416, { 'content-range': `bytes */${bytes.length}` }).end();
    return;
  }
  const body = partial ? bytes.subarray(start) : bytes;
  const contentRange = { 'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` };
  response.writeHead(partial ? 206 : 200, { ...headers, 'content-length': String(body.length), ...(partial && contentRange) });
  if (request.method === 'HEAD') {
    response.end();
    return;
  }
  request.bytesSent += body.length;
  response.end(body);
}
