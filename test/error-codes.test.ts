import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';

const pages = ['docs/reference/errors.md', 'docs/reference/checkpoints.md', 'docs/bundles.md'];

/** What a type names that is called `…ErrorCode`. */
function codesIn(source: string): readonly string[] {
  return [...source.matchAll(/^export type \w+ErrorCode =([^;]+);/gm)].flatMap(([, names = '']) =>
    [...names.matchAll(/'(\w+)'/g)].map(([, code = '']) => code),
  );
}

describe('codes of errors that users meet', () => {
  const text = pages.map((page) => readFileSync(page, 'utf8')).join('\n');
  const sources = globSync('src/{model,sglang,pipeline,cli}/**/*.ts').map((file) => ({ file, codes: codesIn(readFileSync(file, 'utf8')) }));
  for (const { file, codes } of sources.filter((each) => each.codes.length > 0))
    it(`of ${file} are all explained`, () => {
      const missing = codes.filter((code) => !text.includes(`\`${code}\``));
      assert.deepEqual(missing, [], `add them to ${pages.join(', ')}`);
    });
});
