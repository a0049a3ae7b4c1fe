import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gitBlob, sendRange, sha256, type Received } from '../../model/fetch/hub-server.ts';

/** A hub's data sets as the public one answers for them: which commit a revision is, the files of a commit page by page, and the files. */
export class DatasetHub {
  readonly requests: Received[] = [];
  /** Repositories that want this token. */
  readonly tokens = new Map<string, string>();
  /** Files on a page of a list. */
  pageSize = 2;
  /** Answers a request itself when it returns true. */
  intercept: (request: Received, response: ServerResponse) => boolean = () => false;
  readonly #commits = new Map<string, Map<string, Readonly<Record<string, Buffer>>>>();
  readonly #branches = new Map<string, string>();
  readonly #server = createServer((request, response) => this.#handle(request, response));

  async start(): Promise<this> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return this;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** A new commit of `main`; returns its id. */
  commit(repository: string, files: Readonly<Record<string, string | Buffer>>): string {
    const commits = this.#commits.get(repository) ?? new Map<string, Readonly<Record<string, Buffer>>>();
    const id = createHash('sha1').update(`${repository} ${commits.size}`).digest('hex');
    this.#commits.set(repository, commits);
    commits.set(id, Object.fromEntries(Object.entries(files).map(([path, bytes]) => [path, Buffer.from(bytes)])));
    this.#branches.set(`${repository} main`, id);
    return id;
  }

  /** Paths of the files that were downloaded. */
  get downloaded(): readonly string[] {
    return this.requests
      .filter(({ method, bytesSent }) => method === 'GET' && bytesSent > 0)
      .map(({ path }) => path.split('/').slice(6).join('/'));
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve));
  }

  #handle({ method = '', url = '', headers }: IncomingMessage, response: ServerResponse): void {
    const request: Received = { host: 'hub', method, path: url, headers, bytesSent: 0 };
    this.requests.push(request);
    if (this.intercept(request, response)) return;
    const { pathname, searchParams } = new URL(url, this.url);
    const [, repository = '', word = '', revision = '', path = ''] =
      /^(?:\/api)?\/datasets\/(.+?)\/(revision|tree|resolve)\/([^/]+)\/?(.*)$/.exec(decodeURIComponent(pathname)) ?? [];
    const refuse = (status: number, code: string): void => void response.writeHead(status, { 'x-error-code': code }).end();
    const wanted = this.tokens.get(repository);
    if (wanted !== undefined && headers.authorization !== `Bearer ${wanted}`) {
      refuse(401, 'GatedRepo');
      return;
    }
    const commits = this.#commits.get(repository);
    if (!commits) {
      refuse(401, 'RepoNotFound');
      return;
    }
    const commit = this.#branches.get(`${repository} ${revision}`) ?? revision;
    const files = commits.get(commit);
    if (!files) {
      refuse(404, 'RevisionNotFound');
      return;
    }
    if (word === 'revision') response.end(JSON.stringify({ sha: commit, private: false }));
    else if (word === 'tree') this.#list(files, Number(searchParams.get('cursor') ?? 0), pathname, response);
    else {
      const bytes = files[path];
      if (!bytes) {
        refuse(404, 'EntryNotFound');
        return;
      }
      const large = path.endsWith('.parquet');
      const linked = { 'x-linked-etag': `"${sha256(bytes)}"`, 'x-linked-size': String(bytes.length) };
      sendRange(request, response, bytes, { 'x-repo-commit': commit, etag: `"${gitBlob(bytes)}"`, ...(large && linked) });
    }
  }

  #list(files: Readonly<Record<string, Buffer>>, from: number, pathname: string, response: ServerResponse): void {
    const entries = Object.entries(files).map(([path, { length }]) => ({ type: 'file', oid: '', size: length, path }));
    const folders = entries.flatMap(({ path }) =>
      path.includes('/') ? [{ type: 'directory', oid: '', size: 0, path: path.replace(/\/.*/, '') }] : [],
    );
    const to = from + this.pageSize;
    if (to < entries.length) response.setHeader('link', `<${this.url}${pathname}?recursive=true&cursor=${to}>; rel="next"`);
    response.end(JSON.stringify([...(from === 0 ? folders : []), ...entries.slice(from, to)]));
  }
}
