import { humanCount } from '../../controllers/routing.ts';
import { shortDigest } from '../rollback-target.ts';
import { percentText } from '../text-table.ts';
import { conditionTone } from '../view/condition-tone.ts';
import { cell, headings, type Cell, type Screen, type Tone } from '../view/layout.ts';
import type { PodView } from '../view/pod-view.ts';
import { ageOf, conditionLines, countText, factLines, titleLines } from '../view/texts.ts';
import { treeLines, type Branch } from '../view/tree.ts';
import type { DeploymentView, PodWithRouter, RevisionView, RoleView } from './deployment-view.ts';

const roleNames = { slm: 'SLM', llm: 'LLM' } as const;

/** A deployment for people: what it is, its pods as a tree, its conditions. */
export function deploymentText(view: DeploymentView, now: Date, screen: Screen): readonly string[] {
  const { namespace, name, createdAt, roles, conditions } = view;
  const ready = conditions.find(({ type }) => type === 'Ready');
  return [
    ...titleLines(`R2RDeployment ${name} in namespace ${namespace}, ${ageOf(createdAt, now)} old`, screen),
    ...factLines(
      [
        [
          'ready',
          ready
            ? cell(`${ready.status}, ${ready.reason}: ${ready.message}`, conditionTone(ready))
            : 'the operator has not looked at it yet',
        ],
        ['spec', view.observed || !ready ? undefined : cell('the operator has not seen the latest change yet', 'busy')],
        ['endpoint', view.endpoint],
        ['revision', revisionText(view)],
        ['routing', routingText(view)],
        ['router', routerText(view)],
      ],
      screen,
    ),
    '',
    ...treeLines(roles.map(roleBranch(now)), headings('POD', 'READY', 'STATUS', 'RESTARTS', 'AGE', 'NODE'), screen),
    ...(conditions.length > 0 ? ['', ...conditionLines(conditions, now, screen)] : []),
  ];
}

function revisionText({ revision }: DeploymentView): string | undefined {
  const { serving, target } = revision ?? {};
  if (serving === undefined && target === undefined) return undefined;
  if (serving === target) return `${serving} serves`;
  return `${serving === undefined || serving === '' ? 'none serves' : `${serving} serves`}, ${target} is being rolled out`;
}

function routingText({ routing }: DeploymentView): string | undefined {
  if (!routing) return undefined;
  const { ratio, tokensPerSecond, averageActivatedParams: parameters } = routing;
  const activated = parameters === undefined ? '' : `, ${humanCount(parameters)} parameters a token`;
  return `${percentText(ratio)} of the tokens from the LLM, ${tokensPerSecond} tokens/s${activated}`;
}

function routerText({ router }: DeploymentView): string | undefined {
  if (!router) return undefined;
  const { bundle } = router;
  const network = bundle ? `, bundle ${shortDigest(bundle.digest)}${bundle.precision === undefined ? '' : ` (${bundle.precision})`}` : '';
  return `${router.strategy}${thresholdText(router.threshold)}${network}`;
}

function thresholdText(threshold: number | undefined): string {
  return threshold === undefined ? '' : `, threshold ${Number(threshold.toPrecision(3))}`;
}

function roleBranch(now: Date): (role: RoleView) => Branch {
  return ({ role, model, engine, ready, wanted, revisions }) => {
    const [only, ...others] = revisions;
    const branches = only && others.length === 0 ? only.pods.map(podBranch(now)) : revisions.map(revisionBranch(now));
    return {
      name: cell(`${roleNames[role]} ${ready}/${wanted} ready: ${model}, ${engine}`, ready >= wanted ? 'good' : 'bad'),
      branches,
    };
  };
}

function revisionBranch(now: Date): (revision: RevisionView) => Branch {
  return ({ revision, serving, target, pods }) => {
    const what = serving && target ? 'serves' : serving ? 'serves, to be replaced' : target ? 'is coming up' : 'is going away';
    return { name: cell(`revision ${revision} ${what}${pods.length === 0 ? ': no pods' : ''}`), branches: pods.map(podBranch(now)) };
  };
}

function podBranch(now: Date): (pod: PodWithRouter) => Branch {
  return (pod) => {
    const answer = pod.router;
    const network = answer?.bundle?.digest === undefined ? '' : `, bundle ${shortDigest(answer.bundle.digest)}`;
    const router =
      answer && `router: ${answer.strategy}${thresholdText(answer.threshold)}${network}, ${countText(answer.inFlight)} in flight`;
    const waiting = answer && answer.waitingFor.length > 0 ? `waits for ${answer.waitingFor.join(', ')}` : undefined;
    const refused = answer?.bundle?.state === 'Refused' ? `bundle refused: ${answer.bundle.message ?? ''}` : undefined;
    const alarms = (answer?.alarms ?? []).map(({ reason, message }) => `${reason}: ${message}`);
    return {
      name: cell(pod.name),
      cells: podCells(pod, now),
      notes: [pod.message, router, waiting, refused, ...alarms].filter((note) => note !== undefined),
    };
  };
}

/** READY, STATUS, RESTARTS, AGE and NODE of a pod. */
export function podCells(pod: PodView, now: Date): readonly Cell[] {
  return [
    cell(`${pod.ready}/${pod.containers}`),
    cell(pod.status, podTone(pod)),
    cell(String(pod.restarts)),
    cell(ageOf(pod.createdAt, now)),
    cell(pod.node ?? '-'),
  ];
}

function podTone({ status, ready, containers }: PodView): Tone {
  if (status === 'Running') return ready === containers ? 'good' : 'busy';
  if (status === 'Completed' || status === 'Succeeded') return 'good';
  return /^(Pending|Terminating|ContainerCreating|PodInitializing|Init:\d+\/\d+)$/.test(status) ? 'busy' : 'bad';
}
