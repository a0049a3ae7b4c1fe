import assert from 'node:assert/strict';
import type { KubeObject, Live } from '../../../src/kube/index.ts';
import type { Deployment, Pod } from '../../../src/kube/resources.ts';
import { labels } from '../../../src/api/names.ts';
import type { R2RDeployment } from '../../../src/api/r2rdeployment.ts';
import { deploymentView } from '../../../src/cli/status/deployment-view.ts';
import { routerView } from '../../../src/cli/status/router-view.ts';
import { statusText } from '../../../src/cli/status/status.ts';
import { deploymentNumbers } from '../../../src/cli/top/numbers.ts';
import { topTable } from '../../../src/cli/top/table.ts';
import { eventLines } from '../../../src/cli/events/text.ts';
import { eventView, merged } from '../../../src/cli/events/event-view.ts';
import { plain, screenOf, type Screen } from '../../../src/cli/view/layout.ts';
import type { DeploymentFamily } from '../../../src/cli/view/resources.ts';
import { podKey, type RouterAnswer } from '../../../src/cli/view/router-answers.ts';
import { stored } from '../../api/deployments.ts';
import { storedRouter, routerManifest } from '../../api/routers.ts';
import { assertGoldenText } from './golden-text.ts';
import {
  ago,
  crashingPod,
  imagePullPod,
  readyPod,
  revisions,
  rollingStatus,
  routerAnswer,
  runningRouterStatus,
  stepPod,
  unschedulablePod,
} from './fixtures.ts';

const now = new Date('2026-03-01T12:00:00Z');
const screen: Screen = { width: 80, paint: plain, terminal: true };

const live = <T extends KubeObject>(object: object, namespace = 'models'): Live<T> => {
  const { metadata } = object as { metadata: { name: string } };
  return { ...object, metadata: { ...metadata, namespace, uid: `uid-${metadata.name}`, resourceVersion: '1' } } as unknown as Live<T>;
};

const spec = {
  slm: { model: '/models/DeepSeek-R1-Distill-Qwen-1.5B', engine: 'SGLang' as const },
  llm: { model: 'pvc://weights/DeepSeek-R1-Distill-Qwen-32B', engine: 'SGLang' as const },
};

const child = (revision: keyof typeof revisions, role: 'slm' | 'llm', replicas: number): Live<Deployment> =>
  live<Deployment>({
    ...{ apiVersion: 'apps/v1', kind: 'Deployment', spec: { replicas } },
    metadata: { name: `chat-${revisions[revision]}-${role}`, labels: labels('chat', revisions[revision], role) },
  });

function rolling(name = 'chat'): DeploymentFamily {
  const deployment = { ...stored(name, spec), status: rollingStatus(now) };
  const metadata = { ...deployment.metadata, creationTimestamp: ago(now, 3 * 86_400), resourceVersion: '1', name, uid: 'uid' };
  return {
    deployment: { ...deployment, metadata },
    children: [child('old', 'slm', 1), child('next', 'slm', 1), child('old', 'llm', 1), child('next', 'llm', 3)],
    pods: [
      readyPod(now, name, revisions.old, 'slm', 'abcde', 'gpu-1'),
      readyPod(now, name, revisions.next, 'slm', 'fghij', 'gpu-1'),
      readyPod(now, name, revisions.old, 'llm', 'klmno', 'gpu-2'),
      imagePullPod(now, name, revisions.next, 'pqrst', 'gpu-3'),
      crashingPod(now, name, revisions.next, 'crash', 'gpu-3'),
      unschedulablePod(now, name, revisions.next, 'unsch'),
    ].map((pod) => live<Pod>(pod)),
  };
}

function answersOf({ pods }: DeploymentFamily, calls: number, atMs: number): ReadonlyMap<string, RouterAnswer> {
  return new Map(
    pods
      .filter(({ metadata }) => metadata.labels?.['app.kubernetes.io/component'] === 'slm')
      .map((pod, index) => [podKey(pod), { pod: pod.metadata.name, atMs, status: routerAnswer(calls * (index + 1)) }]),
  );
}

const noWiderThan = (lines: readonly string[], width: number): void => {
  for (const line of lines) assert.ok(line.length <= width, `${line.length} characters: ${line}`);
};

describe('what kubectl r2r prints', () => {
  it('status of a roll-out that does not get on, within 80 columns', () => {
    const family = rolling();
    const view = deploymentView(family, answersOf(family, 0, 0), now);
    const lines = statusText(
      { deployments: [view], routers: [], notes: ['pods of another namespace cannot be read'] },
      'models',
      now,
      screen,
    );
    noWiderThan(lines, 80);
    assertGoldenText('kubectl-r2r-status.txt', lines);
  });

  it('status with the longest names loses their beginnings, and on a wide terminal nothing', () => {
    const family = rolling('a-name-of-forty-characters-is-the-longest');
    const view = deploymentView(family, new Map(), now);
    const of = (width: number): readonly string[] =>
      statusText({ deployments: [view], routers: [], notes: [] }, 'models', now, { ...screen, width });
    noWiderThan(of(80), 80);
    assert.ok(
      of(80).some((line) => /…\S*-llm-5d4f8d9c7-klmno/.test(line)),
      of(80).join('\n'),
    );
    assert.ok(of(160).some((line) => line.includes(`a-name-of-forty-characters-is-the-longest-${revisions.old}-llm-5d4f8d9c7-klmno`)));
  });

  it('status of a router: steps with progress, a failure with its field, deployments that follow', () => {
    const { spec: routerSpec } = routerManifest('math', 'models') as unknown as { spec: Parameters<typeof storedRouter>[1] };
    const router = { ...storedRouter('math', routerSpec), status: runningRouterStatus(now) };
    const metadata = { ...router.metadata, creationTimestamp: ago(now, 3 * 86_400), resourceVersion: '1', name: 'math', uid: 'uid' };
    const pods = [stepPod(now, 'math', 'respond', 0, 'gpu-1'), stepPod(now, 'math', 'respond', 1, 'gpu-2')].map((pod) => live<Pod>(pod));
    const view = routerView({ router: { ...router, metadata }, pods }, now);
    const lines = statusText({ deployments: [], routers: [view], notes: [] }, 'models', now, screen);
    noWiderThan(lines, 80);
    assertGoldenText('kubectl-r2r-status-router.txt', lines);
  });

  it('status of a deployment that the operator has not looked at', () => {
    const deployment = stored('young', spec);
    const metadata = { ...deployment.metadata, creationTimestamp: ago(now, 5), resourceVersion: '1', name: 'young', uid: 'uid' };
    const family = { deployment: { ...deployment, metadata } as unknown as Live<R2RDeployment>, children: [], pods: [] };
    const lines = statusText({ deployments: [deploymentView(family, new Map(), now)], routers: [], notes: [] }, 'models', now, screen);
    assert.match(lines.join('\n'), /^R2RDeployment young in namespace models, 5s old\n {2}ready +the operator has not looked at it yet\n/);
  });

  it('top: live with rates between two readings, and from the status where no router answers', () => {
    const family = rolling();
    const first = answersOf(family, 100, 0);
    const second = answersOf(family, 150, 2000);
    const quiet = { ...rolling('quiet'), pods: [] };
    const managed = { manager: 'r2r-operator-status', operation: 'Apply', subresource: 'status', time: ago(now, 420) };
    const old = {
      ...quiet,
      deployment: { ...quiet.deployment, metadata: { ...quiet.deployment.metadata, managedFields: [managed] } },
    } as DeploymentFamily;
    const numbers = [deploymentNumbers(family, second, first), deploymentNumbers(old, second, first)];
    const lines = topTable(numbers, { namespaces: false, routers: true }, now, screen);
    noWiderThan(lines, 80);
    assertGoldenText('kubectl-r2r-top.txt', lines);
    assert.equal(numbers[0]?.llmCallsPerSecond, (50 + 100) / 2);
    // a router that was started anew counts from 0 again
    const restarted = deploymentNumbers(family, answersOf(family, 10, 4000), second);
    assert.equal(restarted.llmCallsPerSecond, undefined);
    noWiderThan(topTable(numbers, { namespaces: true, routers: false }, now, screen), 80);
  });

  it('events: merged, ordered by time, with messages broken to the screen', () => {
    const event = (kind: string, name: string, reason: string, note: string, seconds: number, more: object = {}) => ({
      ...{ type: reason === 'Failed' ? 'Warning' : 'Normal', reason, note, eventTime: ago(now, seconds), metadata: { name: reason } },
      ...{ regarding: { kind, name }, ...more },
    });
    const pull = 'Failed to pull image "registry.example/llm:typo": rpc error: code = NotFound desc = failed to resolve reference';
    const list = [
      event('Pod', 'chat-81d0aa31-llm-5d4f8d9c7-pqrst', 'Failed', pull, 100, { series: { count: 4, lastObservedTime: ago(now, 20) } }),
      event('Pod', 'chat-81d0aa31-llm-5d4f8d9c7-pqrst', 'Failed', pull, 60),
      event('R2RDeployment', 'chat', 'RolloutStarted', 'revision 81d0aa31 is being rolled out', 125),
      event('Pod', 'chat-81d0aa31-llm-5d4f8d9c7-pqrst', 'Scheduled', 'assigned to \u001b[31mgpu-3', 124),
    ];
    const lines = eventLines(merged(list.map((each) => eventView(each as never))), now, screen, false);
    noWiderThan(lines, 80);
    assertGoldenText('kubectl-r2r-events.txt', lines);
    assert.equal(eventLines(merged(list.map((each) => eventView(each as never))), now, screen, true).length, 4);
  });

  it('colours only on a terminal, and not with NO_COLOR', () => {
    const painted = (tty: boolean, environment: Record<string, string>): boolean =>
      screenOf({ isTTY: tty, columns: 120 }, environment).paint('x', 'bad') !== 'x';
    assert.deepEqual(
      [
        painted(true, {}),
        painted(false, {}),
        painted(true, { NO_COLOR: '1' }),
        painted(true, { NO_COLOR: '' }),
        painted(true, { TERM: 'dumb' }),
      ],
      [true, false, false, true, false],
    );
    assert.deepEqual([screenOf({ isTTY: true, columns: 120 }, {}).width, screenOf({ isTTY: true, columns: 40 }, {}).width], [120, 80]);
  });
});
