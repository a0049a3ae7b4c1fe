import type { RouterFollower } from '../../api/r2rrouter-status.ts';
import { shortDigest } from '../rollback-target.ts';
import { percentText } from '../text-table.ts';
import { conditionTone } from '../view/condition-tone.ts';
import { cell, columns, headings, wrapped, type Screen, type Tone } from '../view/layout.ts';
import { ageOf, conditionLines, countText, durationText, factLines, titleLines } from '../view/texts.ts';
import { treeLines } from '../view/tree.ts';
import { podCells } from './deployment-text.ts';
import type { RouterView, StepView } from './router-view.ts';

const stepTones: Readonly<Record<StepView['state'], Tone>> = {
  Waiting: 'faint',
  Pending: 'busy',
  Running: 'busy',
  Retrying: 'bad',
  Done: 'good',
  Failed: 'bad',
};

/** A router for people: its steps with their progress, their pods, and the deployments that follow. */
export function routerText(view: RouterView, now: Date, screen: Screen): readonly string[] {
  const { namespace, name, createdAt, phase, conditions, deployments } = view;
  const ready = conditions.find(({ type }) => type === 'Ready');
  const pods = view.steps.flatMap((step) =>
    step.pods.map((pod) => ({ name: cell(pod.name), cells: podCells(pod, now), notes: [pod.message ?? ''] })),
  );
  const podHeadings = headings('POD', 'READY', 'STATUS', 'RESTARTS', 'AGE', 'NODE');
  return [
    ...titleLines(`R2RRouter ${name} in namespace ${namespace}, ${ageOf(createdAt, now)} old, ${phase}`, screen),
    ...factLines(
      [
        [
          'ready',
          ready
            ? cell(`${ready.status}, ${ready.reason}: ${ready.message}`, conditionTone(ready))
            : 'the operator has not looked at it yet',
        ],
        ['spec', view.observed || !ready ? undefined : cell('the operator has not seen the latest change yet', 'busy')],
        ['labels', labelsText(view)],
        ['offered', view.bundle && `bundle ${shortDigest(view.bundle.digest)}: ${qualityText(view.bundle)}`],
        ['newest', newestText(view)],
      ],
      screen,
    ),
    ...(view.steps.length > 0 ? ['', ...stepLines(view.steps, screen)] : []),
    ...(pods.length > 0 ? ['', ...treeLines(pods, podHeadings, screen)] : []),
    ...(deployments.length > 0 ? ['', ...followerLines(deployments, now, screen)] : []),
    ...(conditions.length > 0 ? ['', ...conditionLines(conditions, now, screen)] : []),
  ];
}

function labelsText({ labels }: RouterView): string | undefined {
  if (!labels) return undefined;
  const { rows, questions, identical, neutral, divergent } = labels;
  return `${countText(rows)} tokens of ${countText(questions)} questions: ${countText(identical)} identical, ${countText(neutral)} neutral, ${countText(divergent)} divergent`;
}

function qualityText({
  recall,
  positiveRate,
}: {
  readonly recall?: number | undefined;
  readonly positiveRate?: number | undefined;
}): string {
  return `recall ${percentText(recall)}, ${percentText(positiveRate)} of the tokens to the LLM`;
}

/** What was made last, where that is not what is offered. */
function newestText({ candidate, bundle }: RouterView): string | undefined {
  if (candidate?.recall === undefined || candidate.digest === bundle?.digest) return undefined;
  return `${candidate.digest === undefined ? '' : `bundle ${shortDigest(candidate.digest)}: `}${qualityText(candidate)}`;
}

function stepLines(steps: readonly StepView[], { width, paint }: Screen): readonly string[] {
  const rows = steps.map(({ name, state, shards = 1, shardsDone, attempts, progress }) => [
    cell(name),
    cell(state, stepTones[state]),
    cell(progress ? percentText(progress.total > 0 ? progress.done / progress.total : 0) : state === 'Done' ? '100%' : ''),
    cell(progress ? `${countText(progress.done)}/${countText(progress.total)} ${progress.unit}` : ''),
    cell(progress?.perSecond === undefined ? '' : `${progress.perSecond}/s`),
    cell(progress?.etaSeconds === undefined ? '' : durationText(progress.etaSeconds)),
    cell(shards > 1 ? `${shardsDone ?? 0}/${shards}` : ''),
    cell(attempts === undefined || attempts < 2 ? '' : String(attempts)),
  ]);
  const lines = columns([headings('STEP', 'STATE', 'DONE', 'OF', 'RATE', 'LEFT', 'SHARDS', 'TRIES'), ...rows], paint, '  ');
  return lines.flatMap((line, index) => {
    const failure = steps[index - 1]?.failure;
    if (!failure) return [line];
    const field = failure.field === undefined ? '' : ` (${failure.field})`;
    return [line, ...wrapped(`${failure.code}${field}: ${failure.message}`, width - 4).map((each) => paint(`    ${each}`, 'bad'))];
  });
}

function followerLines(followers: readonly RouterFollower[], now: Date, { width, paint }: Screen): readonly string[] {
  const tones: Readonly<Record<RouterFollower['state'], Tone>> = {
    Waiting: 'faint',
    Updating: 'busy',
    Observing: 'busy',
    Done: 'good',
    RolledBack: 'bad',
  };
  const rows = followers.map(({ name, state, digest, since }) => [
    cell(name),
    cell(state, tones[state]),
    cell(digest === undefined ? '-' : shortDigest(digest)),
    cell(ageOf(since, now)),
  ]);
  const lines = columns([headings('DEPLOYMENT', 'STATE', 'BUNDLE', 'SINCE'), ...rows], paint, '  ');
  return lines.flatMap((line, index) => {
    const message = followers[index - 1]?.message;
    return message ? [line, ...wrapped(message, width - 4).map((each) => paint(`    ${each}`, 'faint'))] : [line];
  });
}
