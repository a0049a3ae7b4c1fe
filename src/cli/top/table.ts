import { percentText } from '../text-table.ts';
import { cell, columns, columnsWidth, headings, shortened, type Cell, type Screen } from '../view/layout.ts';
import { ageOf, countText } from '../view/texts.ts';
import type { DeploymentNumbers, Numbers, RouterNumbers } from './numbers.ts';

export interface TableOptions {
  /** A column with the namespace. */
  readonly namespaces: boolean;
  /** A line for each router. */
  readonly routers: boolean;
}

const narrowestName = 12;

/** The numbers of deployments as a table; on a terminal of at most its width, as long as names allow. */
export function topTable(
  all: readonly DeploymentNumbers[],
  options: TableOptions,
  now: Date,
  { width, paint, terminal }: Screen,
): readonly string[] {
  const names = ['NAME', 'SLM', 'LLM', 'LLM%', 'FALLB%', 'TOK/S', 'CALLS/S', 'ACTIVE', 'FROM'];
  const head = headings(...(options.namespaces ? ['NAMESPACE'] : []), ...names);
  const rows = (longest: number): readonly (readonly Cell[])[] =>
    all.flatMap((each) => {
      const lead = options.namespaces ? [cell(each.namespace)] : [];
      const line = [...lead, cell(shortened(each.name, longest)), ...deploymentCells(each, now)];
      if (!options.routers) return [line];
      const routers = each.routers.map((router, index) => {
        const glyph = index === each.routers.length - 1 ? '└─ ' : '├─ ';
        return [...lead.map(() => cell('')), cell(glyph + shortened(router.pod, longest - glyph.length)), ...routerCells(router)];
      });
      return [line, ...routers];
    });
  const whole = columnsWidth([head, ...rows(Infinity)]);
  const longest = Math.max(
    0,
    ...all.flatMap((each) => [each.name.length, ...(options.routers ? each.routers.map(({ pod }) => pod.length + 3) : [])]),
  );
  const fitting = whole <= width || !terminal ? Infinity : Math.max(narrowestName, longest - (whole - width));
  return columns([head, ...rows(fitting)], paint);
}

function deploymentCells(each: DeploymentNumbers, now: Date): readonly Cell[] {
  const { routersAnswered, routersRunning, statusChangedAt } = each;
  const from =
    routersAnswered === 0
      ? cell(statusChangedAt === undefined ? '-' : `status, ${ageOf(statusChangedAt, now)}`, 'busy')
      : cell(
          routersAnswered === routersRunning ? 'live' : `live ${routersAnswered}/${routersRunning}`,
          routersAnswered === routersRunning ? 'good' : 'busy',
        );
  return [replicaCell(each.slm), replicaCell(each.llm), ...numberCells(each), from];
}

function routerCells(router: RouterNumbers): readonly Cell[] {
  const { llmReady, llmKnown, bundle, threshold } = router;
  const what = [threshold === undefined ? [] : String(Number(threshold.toPrecision(3))), bundle?.slice(0, 8) ?? []].flat();
  return [cell(''), replicaCell(`${llmReady}/${llmKnown}`), ...numberCells(router), cell(what.join(' '), 'faint')];
}

function replicaCell(text: string | undefined): Cell {
  if (text === undefined) return cell('-');
  const [ready, wanted] = text.split('/').map(Number);
  return cell(text, ready !== undefined && wanted !== undefined && ready < wanted ? 'bad' : undefined);
}

function numberCells({ llmShare, fallbackShare, tokensPerSecond, llmCallsPerSecond, inFlight }: Numbers): readonly Cell[] {
  return [
    cell(percentText(llmShare)),
    cell(percentText(fallbackShare), fallbackShare !== undefined && fallbackShare > 0 ? 'bad' : undefined),
    cell(rateText(tokensPerSecond)),
    cell(rateText(llmCallsPerSecond)),
    cell(inFlight === undefined ? '-' : countText(inFlight)),
  ];
}

/** `1,234`, `140`, `14.2`, `1.4`: what a glance needs. */
function rateText(rate: number | undefined): string {
  if (rate === undefined) return '-';
  return rate >= 100 ? countText(Math.round(rate)) : String(Number(rate.toFixed(1)));
}
