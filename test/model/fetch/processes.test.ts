import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { HubServer, sha256 } from './hub-server.ts';

const program = join(import.meta.dirname, 'fetching-process.ts');
const address = 'hf://org/repo/router.pt@main';
const size = 3_000_000;
const pieceBytes = 100_000;

describe('downloads of processes that are killed, or share a cache', function () {
  this.timeout(60_000);
  let hub: HubServer;
  let folder: string;
  let bytes: Buffer;
  beforeEach(async () => {
    hub = await new HubServer().start();
    folder = mkdtempSync(join(tmpdir(), 'r2r-fetch-processes-'));
    bytes = randomBytes(size);
    hub.commit('org/repo', { 'router.pt': { bytes, lfs: true } });
    // in pieces, so that there is a middle
    hub.intercept = async (request, response) => {
      if (request.host !== 'storage') return false;
      const start = Number(/\d+/.exec(request.headers.range ?? '')?.[0] ?? 0);
      const range = { 'content-range': `bytes ${start}-${size - 1}/${size}` };
      response.writeHead(start > 0 ? 206 : 200, { 'content-length': String(size - start), ...(start > 0 && range) });
      for (let at = start; at < size && !response.destroyed; at += pieceBytes) {
        const piece = bytes.subarray(at, at + pieceBytes);
        request.bytesSent += piece.length;
        response.write(piece);
        await sleep(5);
      }
      response.end();
      return true;
    };
  });
  afterEach(async () => {
    await hub.stop();
    rmSync(folder, { recursive: true });
  });

  /** Runs a fetch; `killAt`: so many bytes have arrived. */
  const run = async (killAt = Infinity): Promise<string> => {
    const child = spawn(process.execPath, [program, address, folder, hub.url], { stdio: ['ignore', 'pipe', 'inherit'] });
    const exited = once(child, 'exit');
    let last = '';
    for await (const line of createInterface({ input: child.stdout })) {
      last = line;
      if (Number(line) >= killAt) child.kill('SIGKILL');
    }
    await exited;
    return last;
  };

  it('goes on where each killed one ended, and downloads nothing twice', async () => {
    for (const killAt of [1, 700_000, 1_500_000, 2_900_000, size]) await run(killAt);
    const asked = hub.asked('storage').length;
    const { path, digest } = JSON.parse(await run()) as { readonly path: string; readonly digest: string };
    assert.equal(digest, sha256(bytes));
    assert.equal(sha256(readFileSync(path)), digest);
    const starts = hub.asked('storage').map(({ headers }) => Number(/\d+/.exec(headers.range ?? '')?.[0] ?? 0));
    assert.ok(
      starts.every((start, index) => index === 0 || start > (starts[index - 1] ?? 0)),
      `each goes on behind the one before: ${starts.join(', ')}`,
    );
    // what was on its way when a process was killed is the only loss
    const lost = hub.bytesSent - size;
    assert.ok(lost < 5 * 1_000_000, `${lost} bytes were on their way`);
    // the last killed one may just have put the file in its place: what it had gone on from then stays for a day
    if (hub.asked('storage').length > asked) assert.deepEqual(readdirSync(join(folder, 'downloads')), []);
  });

  it('gives processes that share a cache the whole file', async () => {
    const answers = await Promise.all([run(), run(), run(900_000), run()]);
    for (const answer of answers.filter((_, index) => index !== 2))
      assert.equal((JSON.parse(answer) as { readonly digest: string }).digest, sha256(bytes));
  });

  it('keeps what has arrived when the disk is full, and goes on when there is room', function () {
    const mount = (megabytes: number, how: string): boolean =>
      spawnSync('mount', ['-t', 'tmpfs', '-o', `${how}size=${megabytes}m`, 'tmpfs', folder]).status === 0;
    // a small file system is root's to make
    if (!mount(1, '')) return this.skip();
    return (async () => {
      try {
        // the size is not announced: the disk is full in the middle
        const send = hub.intercept;
        hub.intercept = async (request, response) => {
          const writeHead = response.writeHead.bind(response);
          if (request.headers.range === undefined)
            response.writeHead = ((status: number, headers: Record<string, string>) =>
              writeHead(
                status,
                Object.fromEntries(Object.entries(headers).filter(([name]) => name !== 'content-length' && name !== 'x-linked-size')),
              )) as never;
          if (request.host === 'storage') return send(request, response);
          return false;
        };
        const { path } = JSON.parse(await run()) as { readonly path: string };
        assert.match(path, /there is no room for it in .*; what has arrived is kept; free some space/);
        const [left = ''] = readdirSync(join(folder, 'downloads'));
        const kept = statSync(join(folder, 'downloads', left)).size;
        assert.ok(left.endsWith('.left') && kept > 500_000, `${left} has ${kept} bytes`);
        assert.ok(mount(20, 'remount,'));
        assert.equal((JSON.parse(await run()) as { readonly digest: string }).digest, sha256(bytes));
        assert.equal(hub.asked('storage').at(-1)?.headers.range, `bytes=${kept}-`);
      } finally {
        assert.equal(spawnSync('umount', [folder]).status, 0);
      }
    })();
  });
});
