import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assemble, isNeeded, mentions } from '../../tools/image-files.ts';
import { hashInputs, repository } from './image-builds.ts';

describe("an image's files", function () {
  this.timeout(120_000);

  it('hold the packages and files that a program mentions in any form of import', () => {
    const code = `import a from "pino"; export * from './x.js'; await import('../kube/y.js'); new URL("./worker.ts", import.meta.url);
      require('onnxruntime-node/package.json'); const text = 'zod of sorts';`;
    assert.deepEqual(mentions(code, ['pino', 'zod', 'onnxruntime-node', 'express']), {
      files: ['./x.js', '../kube/y.js', './worker.js'],
      packages: ['pino', 'onnxruntime-node'],
    });
  });

  it('leave out what a running program never reads', () => {
    const needed = (path: string) => isNeeded(`node_modules/${path}`, 'linux', 'x64');
    for (const path of ['a/index.d.ts', 'a/index.js.map', 'a/README.md', 'cdk8s/.jsii', 'bare-fs/prebuilds/linux-x64/bare-fs.bare'])
      assert.equal(needed(path), false, path);
    for (const path of ['a/index.js', 'a/package.json', 'a/LICENSE', 'a/data.json']) assert.equal(needed(path), true, path);
    assert.equal(needed('onnxruntime-node/bin/napi-v6/linux/x64/libonnxruntime.so.1'), true);
    assert.equal(needed('onnxruntime-node/bin/napi-v6/linux/arm64/libonnxruntime.so.1'), false);
    assert.equal(needed('onnxruntime-node/bin/napi-v6/win32/x64/onnxruntime.dll'), false);
  });

  it('make an operator that runs, without the machine learning runtime', () => {
    const out = mkdtempSync(join(tmpdir(), 'r2r-image-'));
    try {
      assemble('operator', repository, out);
      assert.equal(existsSync(join(out, 'node_modules/onnxruntime-node')), false);
      assert.equal(globSync('**/*.d.ts', { cwd: out }).length, 0);
      const run = spawnSync(process.execPath, [join(out, 'dist/cli/main.js'), 'operator', '--help'], { cwd: '/', encoding: 'utf8' });
      assert.equal(run.status, 0, run.stderr);
      assert.match(run.stdout, /operator/);
    } finally {
      rmSync(out, { recursive: true });
    }
  });

  it('make the same digest as long as nothing changes, and another when something does', () => {
    assert.equal(hashInputs(['images/pause/*']), hashInputs(['images/pause/*']));
    assert.notEqual(hashInputs(['images/pause/*']), hashInputs(['images/pause/*'], ['other']));
    assert.match(hashInputs(['images/pause/*']), /^[0-9a-f]{12}$/);
  });
});
