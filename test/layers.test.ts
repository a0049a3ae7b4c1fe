import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

/** Which rooms of src/ a room may import from (besides itself). */
const allowed: Record<string, readonly string[]> = {
  api: [],
  kube: [],
  sglang: [],
  model: [],
  manifests: ['api'],
  autoscaler: ['api'],
  cdk8s: ['api'],
  controllers: ['api', 'kube', 'manifests', 'autoscaler'],
  router: ['api', 'sglang', 'model'],
  engine: ['model'],
  pipeline: ['api', 'sglang', 'model'],
  cli: ['api', 'kube', 'manifests', 'autoscaler', 'controllers', 'sglang', 'model', 'router', 'engine', 'pipeline'],
};

describe('layers', () => {
  for (const file of globSync('src/*/**/*.ts').sort()) {
    const room = file.split('/')[1]!;
    it(`${file} imports only what its room may`, () => {
      const source = readFileSync(file, 'utf8');
      assert.ok(room in allowed, `src/${room} is not a room of the design`);
      for (const [, target] of source.matchAll(/from '(\.[^']+)'/g)) {
        const other = normalize(join(dirname(file), target!)).split('/')[1]!;
        assert.ok(other === room || allowed[room]!.includes(other), `${room} may not import from ${other}: ${target}`);
      }
      if (room !== 'cli')
        assert.doesNotMatch(source, /process\.(argv|env|exit\b)/, 'only cli reads argv and environment or exits the process');
    });
  }
});
