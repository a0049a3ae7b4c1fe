import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Acquisition } from '../../src/cli/network-acquisition.ts';
import { networkLoader } from '../../src/cli/network-loader.ts';
import { s3Flags, s3Settings } from '../../src/cli/s3-flags.ts';
import { importCheckpoint } from '../../src/model/import-bundle.ts';
import { BundleStore, S3Blobs } from '../../src/model/store/index.ts';
import { makePair } from '../router/certificates.ts';
import { quietLog } from '../router/stage.ts';
import { tinyModels } from '../router/tiny-pair.ts';
import { S3Server } from '../support/s3/s3-server.ts';

const signal = new AbortController().signal;
const settingsOf = (args: readonly string[], environment: NodeJS.ProcessEnv = {}) =>
  s3Settings(parseArgs({ args: [...args], options: s3Flags }).values, environment);

describe('flags of an object store', function () {
  this.timeout(60_000);

  it('say which one is asked, as whom; without them it is Amazon’s of the pod’s region', () => {
    const none = { endpoint: undefined, region: undefined, credentialsFolder: undefined, caFile: undefined };
    assert.deepEqual(settingsOf([]), none);
    assert.deepEqual(settingsOf([], { AWS_REGION: 'eu-west-1' }), { ...none, region: 'eu-west-1' });
    const flags = ['--s3-endpoint', 'https://s3:9000', '--s3-region', 'a-1', '--s3-credentials', '/keys', '--s3-ca', '/ca.crt'];
    assert.deepEqual(settingsOf(flags, { AWS_REGION: 'eu-west-1' }), {
      ...{ endpoint: 'https://s3:9000', region: 'a-1', credentialsFolder: '/keys', caFile: '/ca.crt' },
    });
  });

  it('let a router load a bundle from a store of one’s own, with its certificate and keys', async function () {
    // the server is built once for a machine
    this.timeout(900_000);
    const folder = mkdtempSync(join(tmpdir(), 'r2r-s3-flags-'));
    const tls = await makePair(folder, 's3');
    const server = await S3Server.start({ folder: join(folder, 'server'), bucket: 'routers', tls });
    try {
      const flags = ['--s3-endpoint', server.endpoint, '--s3-credentials', server.credentialsFolder, '--s3-ca', tls.certPath];
      const settings = settingsOf(flags);
      const outFolder = join(folder, 'bundle');
      const checkpointPath = join(tinyModels.slm, '../router/router.pt');
      await importCheckpoint({ checkpointPath, slmFolder: tinyModels.slm, outFolder, precisions: ['int8'], source: 'test' });
      const { digest, address } = await new BundleStore(new S3Blobs({ bucket: 'routers', prefix: 'team/a', settings })).put(
        outFolder,
        signal,
      );
      const load = (s3: Acquisition['s3']) =>
        networkLoader({
          ...{ slmFolder: tinyModels.slm, cacheFolder: join(folder, 'cache'), hub: { endpoint: 'https://hub.invalid' }, threads: 1 },
          ...{ log: quietLog, limits: { retryDelaysMs: [10] }, ...(s3 && { s3 }) },
        })({ uri: address, precision: 'int8', device: 'cpu' }, () => undefined, signal);
      await assert.rejects(load(settingsOf(flags.slice(0, 4))), /FETCH_UNTRUSTED|certificate/);
      const scoring = await load(settings);
      assert.equal(scoring.digest, digest);
      await scoring.close();
    } finally {
      await server.kill();
      rmSync(folder, { recursive: true });
    }
  });
});
