import assert from 'node:assert/strict';
import { Registry } from 'prom-client';
import { publishConditions, type Conditioned } from '../../src/controllers/condition-metrics.ts';

describe('the metric of conditions', () => {
  const condition = (type: string, status: 'True' | 'False' | 'Unknown', reason: string) => ({
    ...{ type, status, reason, message: '' },
    ...{ observedGeneration: 1, lastTransitionTime: '2026-03-01T12:00:00Z' },
  });
  const resource = (name: string, ...conditions: readonly ReturnType<typeof condition>[]): Conditioned => ({
    kind: 'R2RDeployment',
    metadata: { name, namespace: 'models' },
    status: { conditions },
  });
  const samples = async (registry: Registry): Promise<readonly string[]> =>
    (await registry.metrics()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));

  it('has a series for each that is not as it should be, none for the others, and forgets one that has become well', async () => {
    const registry = new Registry();
    let resources: readonly Conditioned[] = [
      resource(
        'well',
        condition('Ready', 'True', 'Serving'),
        condition('Stalled', 'False', 'NoProblem'),
        condition('Reconciling', 'True', 'Updating'),
      ),
      resource(
        'ill',
        condition('Ready', 'False', 'PodsNotReady'),
        condition('Stalled', 'True', 'SpecInvalid'),
        condition('LLMReady', 'Unknown', 'Unknown'),
      ),
      { kind: 'R2RRouter', metadata: { name: 'young', namespace: 'models' } },
    ];
    publishConditions(registry, () => resources);
    const of = (type: string, status: string, reason: string): string =>
      `r2r_operator_condition_problem{kind="R2RDeployment",namespace="models",name="ill",type="${type}",status="${status}",reason="${reason}"} 1`;
    assert.deepEqual(await samples(registry), [
      of('Ready', 'False', 'PodsNotReady'),
      of('Stalled', 'True', 'SpecInvalid'),
      of('LLMReady', 'Unknown', 'Unknown'),
    ]);
    resources = [resource('ill', condition('Ready', 'True', 'Serving'))];
    assert.deepEqual(await samples(registry), []);
  });
});
