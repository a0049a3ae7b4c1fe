import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openBundle } from '../../../src/model/bundle.ts';
import { BundleStore, StoreError, type Blobs, type StoreErrorCode } from '../../../src/model/store/index.ts';
import { makeBundle } from './bundles.ts';

const signal = new AbortController().signal;

export function refused(work: Promise<unknown>, code: StoreErrorCode, message: RegExp): Promise<void> {
  return assert.rejects(work, (error) => {
    assert.ok(error instanceof StoreError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  });
}

/** What a store of bundles does whatever its bytes lie on. `open` gives an empty one. */
export function storeContract(open: (name: string) => Blobs): void {
  let folder: string;
  let blobs: Blobs;
  let store: BundleStore;
  let count = 0;
  const cache = (): string => join(folder, 'cache');
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'r2r-store-'));
    blobs = open(`store${++count}`);
    store = new BundleStore(blobs);
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('gives back what was put, and puts the same only once', async () => {
    const { folder: made, digest } = makeBundle(join(folder, 'a'), 1);
    const put = await store.put(made, signal);
    assert.deepEqual(put, { digest, address: store.address(digest), existed: false });
    assert.equal((await store.put(made, signal)).existed, true);
    const found = await openBundle(await store.get(digest, cache(), signal));
    assert.equal(found.digest, digest);
    assert.deepEqual(await store.pins(digest, signal), [], 'the writer has let go');
    await refused(store.get('0'.repeat(64), cache(), signal), 'STORE_MISSING', /no such bundle; correct the digest/);
  });

  it('lists bundles with their metrics, the newest first', async () => {
    const digests: string[] = [];
    for (const seed of [1, 2, 3]) {
      const { folder: made, digest } = makeBundle(join(folder, String(seed)), seed, 1_000 * seed, { recall: 0.9 + seed / 100 });
      await store.put(made, signal);
      digests.unshift(digest);
      // the store's clock may count seconds
      if (seed < 3) for (const end = Date.now() + 1_050; Date.now() < end;) await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const listed = await store.list(signal);
    assert.deepEqual(
      listed.map(({ digest, manifest }) => [digest, manifest.metrics['recall']]),
      digests.map((digest, index) => [digest, 0.93 - index / 100]),
    );
    assert.ok(listed.every(({ createdMs }) => Math.abs(createdMs - Date.now()) < 60_000));
    assert.ok((listed[0]?.bytes ?? 0) > 3_500);
    assert.deepEqual(await store.find(digests[1] ?? '', signal), listed[1]);
    assert.equal(await store.find('0'.repeat(64), signal), undefined);
  });

  it('deletes nothing that is pinned', async () => {
    const { folder: made, digest } = makeBundle(join(folder, 'a'), 1);
    await store.put(made, signal);
    await store.pin(digest, { owner: 'team/chat', expiresMs: null }, signal);
    await store.pin(digest, { owner: 'team/other', expiresMs: Date.now() + 3_600_000 }, signal);
    assert.deepEqual(
      (await store.pins(digest, signal)).map(({ owner }) => owner),
      ['team/chat', 'team/other'],
    );
    await refused(store.delete(digest, signal), 'STORE_IN_USE', /in use by 2; let go of it there \(team\/chat, team\/other\)/);
    await store.unpin(digest, 'team/chat', signal);
    await refused(store.delete(digest, signal), 'STORE_IN_USE', /in use by 1/);
    // a pin that has run out
    await new BundleStore(blobs, { now: () => Date.now() + 2 * 3_600_000 }).delete(digest, signal);
    assert.deepEqual(await store.list(signal), []);
    assert.deepEqual(
      [...(await blobs.list('bundles/', signal)), ...(await blobs.list('pins/', signal)), ...(await blobs.list('deleting/', signal))],
      [],
    );
    await refused(store.pin(digest, { owner: 'team/chat', expiresMs: null }, signal), 'STORE_MISSING', /no such bundle/);
    assert.deepEqual(await store.pins(digest, signal), []);
    assert.equal((await store.put(made, signal)).existed, false);
  });

  it('takes a pin that nobody can read for one', async () => {
    const { folder: made, digest } = makeBundle(join(folder, 'a'), 1);
    await store.put(made, signal);
    await blobs.write(`pins/${digest}/team=newer.json`, Buffer.from('{"of another version"'), signal);
    await refused(store.delete(digest, signal), 'STORE_IN_USE', /team\/newer/);
  });

  it('is not hindered by a deletion that was killed, but waits for one at work', async () => {
    const { folder: made, digest } = makeBundle(join(folder, 'a'), 1);
    await store.put(made, signal);
    await blobs.remove(`bundles/${digest}/bundle.json`, signal);
    await blobs.write(`deleting/${digest}/killed.json`, Buffer.from(JSON.stringify({ markedMs: Date.now() })), signal);
    await refused(store.put(made, signal), 'STORE_BUSY', /being deleted just now/);
    const later = new BundleStore(blobs, { now: () => Date.now() + 3_600_000 });
    await later.put(made, signal);
    await openBundle(await later.get(digest, cache(), signal));
    assert.deepEqual(await blobs.list('deleting/', signal), []);
  });

  it('sweeps what killed writers left, and leaves bundles and writers alone', async () => {
    const [whole, left, written] = [1, 2, 3].map((seed) => makeBundle(join(folder, String(seed)), seed));
    assert.ok(whole && left && written);
    await store.put(whole.folder, signal);
    for (const { digest } of [left, written]) await blobs.write(`bundles/${digest}/router-fp32.onnx`, Buffer.from('part'), signal);
    const nextDay = Date.now() + 86_400_000;
    await blobs.write(
      `pins/${written.digest}/writer-1.json`,
      Buffer.from(JSON.stringify({ owner: 'writer-1', expiresMs: nextDay + 1e6 })),
      signal,
    );
    assert.deepEqual(await store.sweep(3_600_000, signal), []);
    assert.deepEqual(await new BundleStore(blobs, { now: () => nextDay }).sweep(3_600_000, signal), [left.digest]);
    assert.deepEqual(
      (await store.list(signal)).map(({ digest }) => digest),
      [whole.digest],
    );
    assert.equal((await blobs.list(`bundles/${written.digest}/`, signal)).length, 1);
  });

  it('has writers, readers, pins and deletions of one bundle at once', async () => {
    const { folder: made, digest } = makeBundle(join(folder, 'a'), 1, 200_000);
    for (let round = 0; round < 6; round++) {
      const passes = (error: unknown): string => {
        // a file that vanished under the reader is missing, and nothing else is
        assert.match(
          String((error as { readonly code?: unknown }).code),
          /^(STORE_(BUSY|IN_USE|MISSING)|FETCH_NOT_FOUND|BUNDLE_MISSING)$/,
          String(error),
        );
        return 'failed';
      };
      const owner = `team/pin-${round}`;
      const outcomes = await Promise.all([
        store.put(made, signal).catch(passes),
        store.put(made, signal).catch(passes),
        store.get(digest, join(folder, `cache-${round}`), signal).then((path) => openBundle(path), passes),
        store.pin(digest, { owner, expiresMs: null }, signal).catch(passes),
        store.delete(digest, signal).catch(passes),
        store.delete(digest, signal).catch(passes),
      ]);
      if (outcomes[3] !== 'failed') {
        await openBundle(await store.get(digest, join(folder, `pinned-${round}`), signal));
      }
      for (const bundle of await store.list(signal))
        await openBundle(await store.get(bundle.digest, join(folder, `after-${round}`), signal));
      await store.unpin(digest, owner, signal);
      if (round % 2 === 0) await store.put(made, signal);
    }
    await store.put(made, signal);
    await openBundle(await store.get(digest, join(folder, 'last'), signal));
    assert.deepEqual(await blobs.list('deleting/', signal), []);
  });

  it('refuses tricks in names', async () => {
    for (const digest of ['../../etc', 'A'.repeat(64), '', `${'0'.repeat(63)}/`]) {
      await refused(store.get(digest, cache(), signal), 'STORE_INVALID', /digest: .* is none; write 64 hexadecimal digits/);
      await refused(store.delete(digest, signal), 'STORE_INVALID', /is none/);
    }
    const { folder: made, digest } = makeBundle(join(folder, 'a'), 1);
    await store.put(made, signal);
    for (const owner of ['../x', 'a/b/c', 'A', '', 'a'.repeat(400)])
      await refused(store.pin(digest, { owner, expiresMs: null }, signal), 'STORE_INVALID', /owner: .* is none; write <namespace>\/<name>/);
    for (const key of ['../x', 'a//b', '/a', 'a/.hidden', 'a\0b', 'a/..', 'x'.repeat(1000)]) {
      await refused(blobs.read(key, signal), 'STORE_INVALID', /is no name for something stored/);
      await refused(blobs.write(key, Buffer.from('x'), signal), 'STORE_INVALID', /is no name/);
      await refused(blobs.remove(key, signal), 'STORE_INVALID', /is no name/);
    }
  });

  it('stores no bundle whose bytes are not those of its manifest', async () => {
    const { folder: made, digest } = makeBundle(join(folder, 'a'), 1);
    writeFileSync(join(made, 'router-fp32.bin'), Buffer.alloc(5_000));
    await assert.rejects(store.put(made, signal), { code: 'BUNDLE_DIGEST_MISMATCH' });
    const wrong = { sha256: '1'.repeat(64), bytes: 5_000 };
    await refused(
      blobs.upload(`bundles/${digest}/x`, join(made, 'router-fp32.bin'), wrong, signal),
      'STORE_DIGEST_MISMATCH',
      /changed while/,
    );
    assert.deepEqual(await blobs.list('bundles/', signal), []);
    assert.ok(!existsSync(cache()));
  });
}
