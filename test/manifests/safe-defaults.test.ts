import assert from 'node:assert/strict';
import { selectorLabels } from '../../src/api/names.ts';
import type { R2RDeploymentSpecInput } from '../../src/api/r2rdeployment.ts';
import { revisionOf } from '../../src/api/revision.ts';
import { stored } from '../api/deployments.ts';
import { render, workload } from './rendering.ts';

const roles = ['slm', 'llm'] as const;
const base: R2RDeploymentSpecInput = { slm: { model: '/a' }, llm: { model: '/b' } };
const deployment = (spec: Partial<R2RDeploymentSpecInput> = {}) => stored('tiny', { ...base, ...spec });
const pod = (spec: Partial<R2RDeploymentSpecInput>, role: 'slm' | 'llm') => workload(render(deployment(spec)), role).spec.template.spec;

describe('topology spread', () => {
  const spread = (constraints: readonly object[]) => {
    const podTemplate = { spec: { topologySpreadConstraints: constraints } };
    return pod({ llm: { model: '/b', podTemplate } }, 'llm').topologySpreadConstraints as readonly object[];
  };

  it('has the pods of a role and revision prefer different nodes', () => {
    const revision = revisionOf(deployment().spec);
    for (const role of roles) {
      assert.deepEqual(pod({}, role).topologySpreadConstraints, [
        {
          topologyKey: 'kubernetes.io/hostname',
          maxSkew: 1,
          whenUnsatisfiable: 'ScheduleAnyway',
          labelSelector: { matchLabels: selectorLabels('tiny', revision, role) },
        },
      ]);
    }
  });

  it('is made hard, joined or removed by an overlay', () => {
    assert.partialDeepStrictEqual(spread([{ topologyKey: 'kubernetes.io/hostname', whenUnsatisfiable: 'DoNotSchedule' }]), [
      { maxSkew: 1, whenUnsatisfiable: 'DoNotSchedule' },
    ]);
    assert.equal(spread([{ topologyKey: 'topology.kubernetes.io/zone', maxSkew: 2, whenUnsatisfiable: 'ScheduleAnyway' }]).length, 2);
    assert.deepEqual(spread([{ topologyKey: 'kubernetes.io/hostname', $patch: 'delete' }]), []);
  });
});

describe('a priority', () => {
  it('is that of the role, or of the cluster', () => {
    assert.equal(pod({}, 'llm').priorityClassName, undefined);
    const spec = { llm: { model: '/b', priorityClassName: 'serving' } };
    assert.deepEqual([pod(spec, 'slm').priorityClassName, pod(spec, 'llm').priorityClassName], [undefined, 'serving']);
  });
});

describe('pods of one revision', () => {
  it('are replaced with one more for a while, or under InPlace with one less', () => {
    const update = (spec: Partial<R2RDeploymentSpecInput>) =>
      roles.map(
        (role) =>
          (workload(render(deployment(spec)), role).spec as unknown as { strategy: { rollingUpdate: object } }).strategy.rollingUpdate,
      );
    const surge = { maxSurge: 1, maxUnavailable: 0 };
    const inPlace = { maxSurge: 0, maxUnavailable: 1 };
    assert.deepEqual(update({}), [surge, surge]);
    assert.deepEqual(update({ rollout: { strategy: 'InPlace' } }), [inPlace, inPlace]);
  });
});

describe('disruption budgets', () => {
  const budgets = (spec: Partial<R2RDeploymentSpecInput> = {}) =>
    render(deployment(spec)).filter(({ kind }) => kind === 'PodDisruptionBudget');

  it('select the pods of one role and revision each', () => {
    const selectors = budgets().map(
      ({ spec }) => (spec as unknown as { selector: { matchLabels: Record<string, string> } }).selector.matchLabels,
    );
    assert.equal(selectors.length, 2);
    const objects = render(deployment());
    for (const role of roles) {
      const { labels } = workload(objects, role).spec.template.metadata;
      const selecting = selectors.filter((selector) => Object.entries(selector).every(([key, value]) => labels[key] === value));
      assert.equal(selecting.length, 1, role);
    }
  });

  it('are not there when the spec switches them off', () => {
    assert.deepEqual(budgets({ podDisruptionBudget: { enabled: false } }), []);
  });
});
