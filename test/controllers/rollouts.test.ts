import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { templateRecordName } from '../../src/api/names.ts';
import { specSchema } from '../../src/api/r2rdeployment.ts';
import { revisionOf, templateKey } from '../../src/api/revision.ts';
import { r2rDeployments } from '../../src/controllers/resource-types.ts';
import { configMaps, controllerRevisions, deployments, podDisruptionBudgets, services } from '../../src/kube/index.ts';
import { podTemplates, templateRecord } from '../../src/manifests/index.ts';
import { until } from '../cluster/progress.ts';
import { ControllerStage, name, renderOptions } from './controller-stage.ts';

describe('roll-outs on a real API server', function () {
  this.timeout(180_000);
  let stage: ControllerStage;
  let upgraded: { readonly namespace: string; readonly revision: string };

  before(async () => {
    stage = await ControllerStage.make();
    upgraded = await leftByAnEarlierVersion();
    stage.start();
  });
  beforeEach(() => stage.nextTest());
  after(() => stage.close());

  /** A deployment and its record as a version without topology spread has made them, before the operator of this version starts. */
  async function leftByAnEarlierVersion(): Promise<{ readonly namespace: string; readonly revision: string }> {
    await stage.nextTest();
    const created = await stage.admin.create(r2rDeployments, stage.example());
    const live = { ...created, spec: specSchema.parse(created.spec) };
    const revision = revisionOf(live.spec);
    const { slm, llm } = podTemplates(live, renderOptions);
    const earlier = (template: typeof slm): typeof slm => {
      const { topologySpreadConstraints: _, ...spec } = template.spec as typeof slm;
      return { ...template, spec };
    };
    const templates = { slm: earlier(slm), ...(llm && { llm: earlier(llm) }) };
    await stage.admin.create(controllerRevisions, templateRecord(live, revision, templates));
    return { namespace: stage.namespace, revision };
  }

  const budget = (revision: string, role: 'slm' | 'llm') =>
    stage.admin.find(podDisruptionBudgets, { namespace: stage.namespace, name: `${name}-${revision}-${role}` });
  const replicas = (revision: string, slm: number | undefined, llm: number | undefined): Promise<unknown> =>
    until(`${slm} SLM and ${llm} LLM replicas of ${revision}`, 20_000, async () => {
      const seen = [await stage.wants(revision, 'slm'), await stage.wants(revision, 'llm')];
      if (seen[0] !== slm || seen[1] !== llm) throw new Error(`there are ${String(seen)}`);
      return true;
    });
  /** A first revision that serves. */
  const serving = async (spec: object = {}): Promise<string> => {
    await stage.create(spec);
    const first = await stage.target();
    await stage.comeUp(first);
    await stage.tells({ Ready: 'True Serving', Reconciling: 'False UpToDate' });
    return first;
  };

  it('rolls no pod of a deployment that an earlier version has made', async () => {
    const { namespace, revision } = upgraded;
    const key = { namespace, name: `${name}-${revision}-slm` };
    const child = await until('the SLM Deployment', 30_000, () => stage.admin.find(deployments, key));
    assert.equal(child.spec?.template.spec?.topologySpreadConstraints, undefined);
    await stage.create();
    const fresh = await until('a new one', 30_000, async () => stage.child(await stage.target(), 'slm'));
    assert.equal(fresh.spec?.template.spec?.topologySpreadConstraints?.[0]?.whenUnsatisfiable, 'ScheduleAnyway');
  });

  it('has a budget for each role until the spec switches them off', async () => {
    await stage.create();
    const revision = await stage.target();
    for (const role of ['slm', 'llm'] as const) {
      const { spec } = await until(`the budget of the ${role}`, 20_000, () => budget(revision, role));
      assert.equal(spec?.maxUnavailable, 1);
      assert.equal(spec.unhealthyPodEvictionPolicy, 'AlwaysAllow');
      const template = (await stage.child(revision, role))?.spec?.template.metadata?.labels ?? {};
      for (const [key, value] of Object.entries(spec.selector?.matchLabels ?? {})) assert.equal(template[key], value);
    }
    await stage.patch({ podDisruptionBudget: { enabled: false } });
    await until('no budget', 20_000, async () => !(await budget(revision, 'slm')) && !(await budget(revision, 'llm')));
  });

  describe('Surge', () => {
    it('stops a bad version, goes on with a mended one at once, and back to the former without making it anew', async () => {
      const first = await serving({ rollout: { progressDeadlineSeconds: 10 } });
      const uid = (await stage.child(first, 'llm'))?.metadata.uid;
      await stage.patch({ llm: { image: 'no/such:image' } });
      const second = await stage.target(first);
      await stage.failToStart(second, 'llm', 'ImagePullBackOff');
      await stage.tells({ Ready: 'False ImagePullBackOff', Reconciling: 'True Updating', Stalled: 'False NoProblem' });
      await stage.tells({ Reconciling: 'False ImagePullBackOff', Stalled: 'True ImagePullBackOff' }, 40_000);
      assert.match(await stage.message('Stalled'), new RegExp(`no/such:image.*within 10 s.*; revision ${first} goes on answering$`));
      assert.equal(await stage.serving(), first);

      await stage.patch({ llm: { image: 'another/image:2' } });
      const third = await stage.target(first, second);
      await stage.tells({ Stalled: 'False NoProblem', Reconciling: 'True Updating' });
      await until('the third revision', 20_000, () => stage.child(third, 'llm'));
      await until('nothing of the second', 20_000, async () => !(await stage.child(second, 'slm')) && !(await stage.child(second, 'llm')));
      await stage.goAway(second, 'llm');

      await stage.patch({ llm: { image: null } });
      await stage.tells({ Ready: 'True Serving', Reconciling: 'False UpToDate', Stalled: 'False NoProblem' });
      assert.equal((await stage.child(first, 'llm'))?.metadata.uid, uid);
      assert.equal(await stage.child(third, 'llm'), undefined);
    });

    it('waits for room, past its deadline, until the strategy needs none', async () => {
      const first = await serving({ rollout: { progressDeadlineSeconds: 10 } });
      await stage.patch({ llm: { contextLength: 256 } });
      const second = await stage.target(first);
      await stage.findNoRoom(second, 'llm');
      await sleep(11_000);
      await stage.tells({ Ready: 'False InsufficientCapacity', Reconciling: 'True InsufficientCapacity', Stalled: 'False NoProblem' });
      assert.match(await stage.message('Reconciling'), /set spec\.rollout\.strategy to InPlace$/);
      assert.equal(await stage.serving(), first);
      await stage.patch({ rollout: { strategy: 'InPlace' } });
      await until('the endpoint has moved', 20_000, async () => (await stage.serving()) === second);
      await stage.goAway(first, 'slm');
      await until('the old LLM was told to go', 20_000, async () => !(await stage.child(first, 'llm')));
      assert.equal(await stage.wants(second, 'llm'), 2, 'what waits for room goes on waiting');
    });

    it('moves only after the probe, and keeps a history', async () => {
      const first = await serving();
      stage.probeAnswer = 'the probe request was answered with 500';
      await stage.patch({ llm: { contextLength: 256 } });
      const second = await stage.target(first);
      await stage.comeUp(second);
      await stage.tells({ Ready: 'False ProbeFailed' });
      assert.equal(await stage.serving(), first);
      stage.probeAnswer = undefined;
      await until('the endpoint has moved', 20_000, async () => (await stage.serving()) === second);
      await until(
        'the history',
        20_000,
        async () => (await stage.read()).status?.history?.map(({ revision }) => revision).join() === `${second},${first}`,
      );
    });
  });

  describe('InPlace', () => {
    it('takes the old routers down, then their LLM, and only then makes the new pods', async () => {
      const first = await serving({ rollout: { strategy: 'InPlace' } });
      await stage.patch({ llm: { contextLength: 256 } });
      const second = await stage.target(first);
      await until('the endpoint has moved', 20_000, async () => (await stage.serving()) === second);
      await until('the old routers were told to go', 20_000, async () => !(await stage.child(first, 'slm')));
      await stage.tells({ Ready: 'False RecreateGap', Reconciling: 'True RecreateGap', Stalled: 'False NoProblem' });
      await replicas(second, 0, 0);
      assert.ok(await stage.child(first, 'llm'), 'requests in flight need their LLM');

      await stage.goAway(first, 'slm');
      await until('the old LLM was told to go', 20_000, async () => !(await stage.child(first, 'llm')));
      await replicas(second, 0, 0);
      await stage.goAway(first, 'llm');
      await replicas(second, 1, 2);
      await stage.comeUp(second);
      await stage.tells({ Ready: 'True Serving', Reconciling: 'False UpToDate' });
    });

    it('replaces a first revision that never came up', async () => {
      await stage.create({ rollout: { strategy: 'InPlace' } });
      const first = await stage.target();
      await stage.failToStart(first, 'llm', 'ImagePullBackOff');
      await stage.tells({ Ready: 'False ImagePullBackOff' });
      await stage.patch({ llm: { contextLength: 256 } });
      const second = await stage.target(first);
      await until('the old LLM was told to go', 20_000, async () => !(await stage.child(first, 'llm')));
      await stage.goAway(first, 'llm');
      await replicas(second, 1, 2);
    });

    it('touches nothing for a spec that the API server refuses', async () => {
      const first = await serving({ rollout: { strategy: 'InPlace' } });
      await stage.patch({ llm: { podTemplate: { spec: { terminationGracePeriodSeconds: 'a while' } } } });
      await stage.tells({ Ready: 'False ApplyFailed', Stalled: 'True ApplyFailed' });
      assert.equal(await stage.serving(), first);
      await replicas(first, 1, 2);
    });

    it('comes back to the former spec while the old routers still finish', async () => {
      const first = await serving({ rollout: { strategy: 'InPlace' } });
      const uid = (await stage.child(first, 'llm'))?.metadata.uid;
      await stage.patch({ llm: { contextLength: 256 } });
      const second = await stage.target(first);
      await until('the old routers were told to go', 20_000, async () => !(await stage.child(first, 'slm')));
      await stage.patch({ llm: { contextLength: null } });
      await replicas(first, 1, 2);
      assert.equal((await stage.child(first, 'llm'))?.metadata.uid, uid);
      await until('nothing of the second', 20_000, async () => !(await stage.child(second, 'slm')) && !(await stage.child(second, 'llm')));
    });
  });

  describe('None', () => {
    it('keeps the pods, takes over threshold and replicas, and goes on under another strategy', async () => {
      const first = await serving({ rollout: { strategy: 'None' } });
      const before = (await stage.child(first, 'slm'))?.metadata.generation;
      await stage.patch({ llm: { contextLength: 256 }, router: { image: 'router:2', threshold: 0.9 } });
      await stage.tells({ Ready: 'True RolloutPaused', Reconciling: 'False RolloutPaused', Stalled: 'False NoProblem' });
      const second = await stage.target(first);
      assert.match(await stage.message('Ready'), new RegExp(`; revision ${second} waits`));
      const map = await stage.admin.get(configMaps, { namespace: stage.namespace, name: `${name}-${first}-router` });
      assert.match(map.data?.['router.json'] ?? '', /"threshold":0\.9/);
      assert.equal(await stage.child(second, 'llm'), undefined);
      await stage.patch({ llm: { replicas: 3 } });
      await replicas(first, 1, 3);
      assert.equal((await stage.child(first, 'slm'))?.metadata.generation, before);
      assert.equal(await stage.serving(), first);

      await stage.patch({ rollout: { strategy: 'Surge' } });
      await replicas(second, 1, 3);
      await stage.tells({ Reconciling: 'True Updating' });
      await stage.patch({ rollout: { strategy: 'None' } });
      await until('nothing of the second', 20_000, async () => !(await stage.child(second, 'slm')) && !(await stage.child(second, 'llm')));
    });

    it('keeps the pods of the same revision, too, when only they would change', async () => {
      const first = await serving({ rollout: { strategy: 'None' } });
      const before = (await stage.child(first, 'slm'))?.metadata.generation;
      await stage.patch({ router: { image: 'router:2' } });
      await stage.tells({ Ready: 'True RolloutPaused' });
      assert.match(await stage.message('Ready'), new RegExp(`; a change of the pods of revision ${first} waits`));
      assert.equal((await stage.child(first, 'slm'))?.metadata.generation, before);
      await stage.patch({ rollout: { strategy: 'Surge' } });
      await until('the new image', 20_000, async () =>
        (await stage.child(first, 'slm'))?.spec?.template.spec?.containers.some(({ image }) => image === 'router:2'),
      );
    });

    it('makes the first revision, and is reached again when the spec goes back', async () => {
      const first = await serving({ rollout: { strategy: 'None' } });
      await stage.patch({ llm: { contextLength: 256 } });
      await stage.tells({ Ready: 'True RolloutPaused' });
      await stage.patch({ llm: { contextLength: null } });
      await stage.tells({ Ready: 'True Serving', Reconciling: 'False UpToDate' });
      assert.equal(await stage.serving(), first);
    });
  });

  describe('spec.suspend', () => {
    it('takes routers down, then the LLM, keeps the Service, and brings all back', async () => {
      const first = await serving();
      await stage.patch({ suspend: true });
      await replicas(first, 0, 2);
      await stage.tells({ Ready: 'True Suspended', Reconciling: 'True Suspended', Stalled: 'False NoProblem' });
      await stage.goAway(first, 'slm');
      await replicas(first, 0, 0);
      await stage.goAway(first, 'llm');
      await stage.tells({ Ready: 'True Suspended', Reconciling: 'False Suspended', Stalled: 'False NoProblem' });
      assert.ok(await stage.admin.find(services, { namespace: stage.namespace, name }));
      assert.equal((await stage.read()).status?.summary?.llm, '0/0');
      await stage.patch({ suspend: false });
      await replicas(first, 1, 2);
      await stage.comeUp(first);
      await stage.tells({ Ready: 'True Serving', Reconciling: 'False UpToDate' });
    });

    it('brings back the spec of then, without the revision before', async () => {
      const first = await serving();
      await stage.patch({ suspend: true, llm: { contextLength: 256 } });
      const second = await stage.target(first);
      await replicas(second, 0, 0);
      await stage.comeUp(second);
      await until('the old routers were told to go', 20_000, async () => !(await stage.child(first, 'slm')));
      await stage.goAway(first, 'slm');
      await until('the old LLM was told to go', 20_000, async () => !(await stage.child(first, 'llm')));
      await stage.goAway(first, 'llm');
      await stage.tells({ Ready: 'True Suspended', Reconciling: 'False Suspended' });
      await stage.patch({ suspend: false });
      await replicas(second, 1, 2);
      assert.equal(await stage.serving(), second);
    });

    it('never starts a deployment that is made suspended', async () => {
      await stage.create({ suspend: true });
      const first = await stage.target();
      await replicas(first, 0, 0);
      await stage.comeUp(first);
      await stage.tells({ Ready: 'True Suspended', Reconciling: 'False Suspended' });
    });
  });

  it('pins the templates of a revision that waits under the name of the spec that it came from', async () => {
    const first = await serving({ rollout: { strategy: 'None' } });
    const { spec } = await stage.read();
    const record = templateRecordName(name, templateKey(specSchema.parse(spec)));
    await stage.patch({ llm: { contextLength: 256 } });
    await stage.tells({ Ready: 'True RolloutPaused' });
    const { items } = await stage.admin.list(controllerRevisions, { namespace: stage.namespace });
    assert.deepEqual(
      items.map(({ metadata }) => [metadata.name, metadata.labels?.['r2r.dev/revision']]),
      [[record, first]],
    );
  });
});
