import assert from 'node:assert/strict';
import { sharedFields } from '../../src/kube/shared-fields.ts';

describe('sets of owned fields', () => {
  it('are one object where they are equal, and another where they are not', () => {
    const one = sharedFields({ 'f:spec': { 'f:replicas': {} } });
    assert.equal(sharedFields({ 'f:spec': { 'f:replicas': {} } }), one);
    assert.notEqual(sharedFields({ 'f:spec': { 'f:template': {} } }), one);
    assert.ok(Object.isFrozen(one['f:spec']));
  });

  it('stay right when there were more different ones than are kept', () => {
    for (let index = 0; index < 1200; index++) assert.deepEqual(sharedFields({ [`f:${index}`]: {} }), { [`f:${index}`]: {} });
  });
});
