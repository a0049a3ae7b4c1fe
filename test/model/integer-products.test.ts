import assert from 'node:assert/strict';
import { sumsExactly } from '../../src/model/integer-products.ts';

const withFlags = (flags: string): string => `processor\t: 0\nmodel name\t: Some\nflags\t\t: fpu ${flags} sse2\n\nprocessor\t: 1\n`;

describe('exact sums of uint8 x int8 products', () => {
  it('are had with VNNI', () => {
    assert.equal(sumsExactly('x64', withFlags('avx512f avx512_vnni')), true);
    assert.equal(sumsExactly('x64', withFlags('avx2 avx_vnni')), true);
  });

  it('are not had on other x86, nor counted upon where the processor is unknown', () => {
    assert.equal(sumsExactly('x64', withFlags('avx2 avx512f avx512_vnni_like')), false);
    assert.equal(sumsExactly('x64', ''), false);
  });

  it('are had on other architectures', () => {
    assert.equal(sumsExactly('arm64', ''), true);
  });
});
