import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BundleStore, FolderBlobs } from '../../../src/model/store/index.ts';
import { makeBundle } from './bundles.ts';
import { refused, storeContract } from './store-contract.ts';

const signal = new AbortController().signal;

describe('bundles in a folder', () => {
  let folder: string;
  before(() => (folder = mkdtempSync(join(tmpdir(), 'r2r-folder-store-'))));
  after(() => rmSync(folder, { recursive: true }));
  storeContract((name) => new FolderBlobs(join(folder, name)));

  it('has the address of its claim', () => {
    const store = new BundleStore(new FolderBlobs(folder, { address: 'pvc://bundles/team/' }));
    assert.equal(store.address('a'.repeat(64)), `pvc://bundles/team/bundles/${'a'.repeat(64)}`);
  });

  it('follows no link that leads out of it', async () => {
    const root = join(folder, 'linked');
    const secrets = join(folder, 'secrets');
    mkdirSync(root);
    mkdirSync(secrets);
    writeFileSync(join(secrets, 'key'), 'secret');
    symlinkSync(secrets, join(root, 'bundles'));
    const blobs = new FolderBlobs(root);
    await refused(blobs.read('bundles/key'), 'STORE_UNUSABLE', /link that leads out of the store/);
    await refused(blobs.remove('bundles/key'), 'STORE_UNUSABLE', /link that leads out/);
    await refused(blobs.write('bundles/other', Buffer.from('x')), 'STORE_UNUSABLE', /link that leads out/);
    mkdirSync(join(root, 'pins'));
    symlinkSync(join(secrets, 'key'), join(root, 'pins/key'));
    await refused(blobs.read('pins/key'), 'STORE_UNUSABLE', /cannot be used/);
    assert.deepEqual(readdirSync(secrets), ['key']);
  });

  it('removes what killed writers left beside', async () => {
    const root = join(folder, 'left');
    const store = new BundleStore(new FolderBlobs(root));
    await store.put(makeBundle(join(folder, 'made'), 4).folder, signal);
    for (const [name, ageS] of [
      ['old', 7200],
      ['new', 10],
    ] as const) {
      writeFileSync(join(root, '.writing', name), 'x');
      utimesSync(join(root, '.writing', name), Date.now() / 1000 - ageS, Date.now() / 1000 - ageS);
    }
    await store.sweep(3_600_000, signal);
    assert.deepEqual(readdirSync(join(root, '.writing')), ['new']);
  });
});
