import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BundleError } from '../../src/model/bundle-errors.ts';
import { bundleFiles, checkBundleFits, openBundle, openBundleEmbedding } from '../../src/model/bundle.ts';
import type { BundleManifest } from '../../src/model/bundle-manifest.ts';
import { openRowTable } from '../../src/model/row-table.ts';
import { saveAgain, tinyLlm, tinySlm } from './bundle-slm-folders.ts';

const sha256 = (bytes: string | Uint8Array) => createHash('sha256').update(bytes).digest('hex');

describe('router bundles', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'r2r-bundle-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const entry = (name: string, content: string | Uint8Array) => {
    writeFileSync(join(folder, name), content);
    return { name, sha256: sha256(content), bytes: Buffer.byteLength(content) };
  };

  /** Writes a bundle for the example SLM whose graph is a stand-in: opening checks bytes, not meaning. */
  async function write(change: Partial<BundleManifest> = {}): Promise<BundleManifest> {
    const embedding = await openRowTable(tinySlm, 'embedding');
    const digest = await embedding.digest();
    await embedding.close();
    const manifest: BundleManifest = {
      formatVersion: 1,
      network: 'HiddenStatesClassifier',
      inputs: ['hidden'],
      classes: 1,
      hiddenSize: 64,
      embeddingSize: 64,
      logitsSize: 100,
      parameters: 10,
      threshold: 0.5,
      logitsType: 'bfloat16',
      slm: { name: 'qwen2', vocabSize: 480, embeddingDigest: digest, lmHeadDigest: digest },
      graphs: { fp32: { model: entry('router.onnx', 'graph'), data: entry('router.data', new Uint8Array(9_000_000)) } },
      metrics: {},
      provenance: { checkpointDigest: null, source: 'test' },
      ...change,
    };
    writeFileSync(join(folder, 'bundle.json'), JSON.stringify(manifest));
    return manifest;
  }
  const refused = (code: string, message: RegExp, opened: Promise<unknown> = openBundle(folder)) =>
    assert.rejects(opened, (error) => {
      assert.ok(error instanceof BundleError, String(error));
      assert.equal(error.code, code);
      assert.match(error.message, message);
      return true;
    });

  it('opens a whole one, whose digest is that of its manifest', async () => {
    const manifest = await write();
    const bundle = await openBundle(folder);
    assert.deepEqual(bundle.manifest, manifest);
    assert.equal(bundle.digest, sha256(readFileSync(join(folder, 'bundle.json'))));
    assert.deepEqual(
      bundleFiles(manifest).map(({ name }) => name),
      ['router.onnx', 'router.data'],
    );
    await checkBundleFits(bundle, tinySlm);
  });

  it('opens one through a link to its folder, as volumes are mounted', async () => {
    await write();
    const link = `${folder}-link`;
    symlinkSync(folder, link);
    assert.equal((await openBundle(link)).folder, folder);
    rmSync(link);
  });

  for (const [what, spoil, code, message] of [
    ['no folder', (at) => rmSync(at, { recursive: true }), 'BUNDLE_MISSING', /no such router bundle; make one with `r2r router import`/],
    ['no manifest', (at) => rmSync(join(at, 'bundle.json')), 'BUNDLE_MISSING', /bundle\.json: no such file/],
    ['a manifest that is no JSON', (at) => writeFileSync(join(at, 'bundle.json'), '{'), 'BUNDLE_INVALID', /bundle\.json: is not JSON/],
    [
      'a huge manifest',
      (at) => writeFileSync(join(at, 'bundle.json'), ' '.repeat(2 ** 20 + 1)),
      'BUNDLE_INVALID',
      /larger than 1048576 bytes/,
    ],
    ['a file that is missing', (at) => rmSync(join(at, 'router.data')), 'BUNDLE_MISSING', /router\.data: no such file/],
    [
      'a file that is cut',
      (at) => truncateSync(join(at, 'router.data'), 8_999_999),
      'BUNDLE_DIGEST_MISMATCH',
      /has 8999999 bytes, the manifest says 9000000/,
    ],
    ['one changed byte', (at) => flip(join(at, 'router.data'), 5_000_000), 'BUNDLE_DIGEST_MISMATCH', /router\.data: its sha256 is /],
    ['a link instead of a file', (at) => relink(join(at, 'router.onnx')), 'BUNDLE_INVALID', /router\.onnx: is a symbolic link/],
    ['a folder instead of a file', (at) => refolder(join(at, 'router.onnx')), 'BUNDLE_INVALID', /router\.onnx: is no file/],
    ['a pipe instead of a file', (at) => repipe(join(at, 'router.onnx')), 'BUNDLE_INVALID', /router\.onnx: is no file/],
  ] as const satisfies readonly (readonly [string, (at: string) => void, string, RegExp])[]) {
    it(`refuses ${what}`, async () => {
      await write();
      spoil(folder);
      await refused(code, message);
      mkdirSync(folder, { recursive: true });
    });
  }

  for (const [field, change, code, message] of [
    ['a newer format', { formatVersion: 2 as 1 }, 'BUNDLE_UNSUPPORTED', /formatVersion is 2, this version of r2r reads 1/],
    ['a threshold above 1', { threshold: 1.5 }, 'BUNDLE_INVALID', /threshold: /],
    ['no graph', { graphs: {} }, 'BUNDLE_INVALID', /graphs: there is neither fp32 nor int8/],
    ['classes without a network', { network: null }, 'BUNDLE_INVALID', /classes: 1 does not go with network/],
    [
      'a path out of the folder',
      { ownEmbedding: { name: '../secret', sha256: sha256(''), bytes: 0 } },
      'BUNDLE_INVALID',
      /ownEmbedding\.name: must be a file name/,
    ],
    [
      'an absolute path',
      { ownEmbedding: { name: '/etc/passwd', sha256: sha256(''), bytes: 0 } },
      'BUNDLE_INVALID',
      /ownEmbedding\.name: must be a file name/,
    ],
    [
      'the manifest as a file',
      { ownEmbedding: { name: 'bundle.json', sha256: sha256(''), bytes: 0 } },
      'BUNDLE_INVALID',
      /bundle\.json is listed for two things/,
    ],
  ] as const) {
    it(`refuses ${field} by name`, async () => {
      await write(change);
      await refused(code, message);
    });
  }

  it('refuses another SLM, naming the first field that differs', async () => {
    await write();
    const bundle = await openBundle(folder);
    await refused(
      'BUNDLE_SLM_MISMATCH',
      /hiddenSize is 64, of the SLM in .*llm it is 128; give the SLM that the bundle was made for/,
      checkBundleFits(bundle, tinyLlm),
    );
    // the same numbers in another type are another table: a router compares stored bytes
    const again = join(folder, 'slm');
    await saveAgain(tinySlm, again, { type: 'F32' });
    await refused('BUNDLE_SLM_MISMATCH', /slm\.embeddingDigest is /, checkBundleFits(bundle, again));
  });

  it('takes the embedding from the bundle where it has its own, else from the SLM', async () => {
    await write();
    const shared = await openBundleEmbedding(await openBundle(folder), tinySlm);
    assert.deepEqual([shared.tensor, shared.rows, shared.width], ['model.embed_tokens.weight', 480, 64]);
    await shared.close();
    const values = Float32Array.from({ length: 480 * 32 }, (_, index) => index);
    const ownEmbedding = entry('embedding.bin', new Uint8Array(values.buffer));
    await write({ ownEmbedding, embeddingSize: 32 });
    const own = await openBundleEmbedding(await openBundle(folder), tinySlm);
    const row = new Float32Array(32);
    own.gather([479], row);
    assert.deepEqual(row, values.subarray(479 * 32));
    await own.close();
    await write({ ownEmbedding, embeddingSize: 64 });
    await refused('BUNDLE_INVALID', /embedding\.bin: has 61440 bytes/, openBundleEmbedding(await openBundle(folder), tinySlm));
  });

  it('stops when told to', async () => {
    await write();
    await assert.rejects(openBundle(folder, AbortSignal.abort(new Error('enough'))), /enough/);
  });
});

function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[at]! ^= 1;
  writeFileSync(path, bytes);
}

function relink(path: string): void {
  renameSync(path, `${path}.real`);
  symlinkSync(`${path}.real`, path);
}

function refolder(path: string): void {
  rmSync(path);
  mkdirSync(path);
}

function repipe(path: string): void {
  rmSync(path);
  execFileSync('mkfifo', [path]);
}
