import { frontier, type Row } from './curve.ts';
import { ownPolicy, percent } from './aims.ts';
import type { Moment } from './simulation.ts';

const width = 720;
const margin = { left: 64, right: 24, top: 48, bottom: 52 };
const colours: Readonly<Record<string, string>> = {
  [ownPolicy]: '#1a7f37',
  'hpa-queue': '#9a6700',
  'kpa-knative': '#0969da',
  'kpa-aibrix': '#8250df',
  'static-mean': '#57606a',
  'static-peak': '#57606a',
};
const names: Readonly<Record<string, string>> = {
  [ownPolicy]: 'this operator',
  'hpa-queue': 'HPA on queue length',
  'kpa-knative': 'KPA, as in Knative',
  'kpa-aibrix': 'KPA, as in AIBrix',
  'static-mean': 'static pools',
};

const round = (value: number): number => Math.round(value * 10) / 10;

function frame(height: number, title: string, body: readonly string[]): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}">
<style>
  svg { background: #ffffff; font: 13px system-ui, sans-serif; } text { fill: #24292f; } .title { font-size: 16px; font-weight: 600; }
  .middle { text-anchor: middle; } .end { text-anchor: end; } .grid { stroke: #e6e8eb; } .curve { fill: none; stroke-width: 2; }
</style>
<text x="${margin.left}" y="26" class="title">${title}</text>
${body.join('\n')}
</svg>
`;
}

/** Late tokens over GPU-hours, each policy at all its settings that no other of its own beats. */
export function tradeOffSvg(workload: string, rows: readonly Row[]): string {
  const height = 420;
  const [low, high] = [1e-4, 1];
  const most = Math.max(...rows.map(({ gpuHours }) => gpuHours));
  const least = Math.min(...rows.map(({ gpuHours }) => gpuHours));
  const x = (hours: number): number => round(margin.left + ((hours - least) / (most - least || 1)) * (width - margin.left - margin.right));
  const y = (share: number): number => {
    const part = Math.log(Math.max(low, share) / low) / Math.log(high / low);
    return round(height - margin.bottom - part * (height - margin.top - margin.bottom));
  };
  const grid = [1e-4, 1e-3, 1e-2, 1e-1, 1].map(
    (share) =>
      `<line x1="${margin.left}" y1="${y(share)}" x2="${width - margin.right}" y2="${y(share)}" class="grid"/><text x="${margin.left - 8}" y="${y(share) + 4}" class="end">${share === low ? '≤ ' : ''}${100 * share} %</text>`,
  );
  const ticks = Array.from({ length: 6 }, (_, index) => least + (index * (most - least)) / 5).map(
    (hours) => `<text x="${x(hours)}" y="${height - margin.bottom + 20}" class="middle">${hours.toFixed(0)}</text>`,
  );
  const policies = [...new Set(rows.map(({ policy }) => policy))];
  const curves = policies.map((policy) => {
    const best = frontier(rows.filter((row) => row.policy === policy));
    const line = best.map(({ gpuHours, lateShare }) => `${x(gpuHours)},${y(lateShare)}`).join(' ');
    const dots = best.map(
      ({ gpuHours, lateShare, setting, standard }) =>
        `<circle cx="${x(gpuHours)}" cy="${y(lateShare)}" r="${standard ? 6 : 3.5}" fill="${colours[policy]}"><title>${policy} ${setting}: ${percent(lateShare)} late, ${gpuHours.toFixed(1)} GPU-hours</title></circle>`,
    );
    return `<polyline points="${line}" class="curve" stroke="${colours[policy]}"/>${dots.join('')}`;
  });
  const legend = Object.entries(names).map(
    ([policy, name], index) =>
      `<circle cx="${width - 200}" cy="${margin.top + 12 + 20 * index}" r="4" fill="${colours[policy]}"/><text x="${width - 190}" y="${margin.top + 16 + 20 * index}">${name}</text>`,
  );
  return frame(height, `Late tokens by GPU-hours: ${workload}`, [
    ...grid,
    ...ticks,
    ...curves,
    ...legend,
    `<text x="${width / 2}" y="${height - 10}" class="middle">GPU-hours</text>`,
    `<text transform="translate(14 ${height / 2}) rotate(-90)" class="middle">late tokens</text>`,
  ]);
}

/** What a pool did over time: replicas wanted and ready, above what the calls made need; late times in red. */
export function timelineSvg(workload: string, moments: readonly Moment[], capacity: number): string {
  const height = 320;
  const last = moments.at(-1)?.second ?? 1;
  const top = Math.max(1, ...moments.map(({ wanted, ready }) => Math.max(wanted, ready)));
  const x = (second: number): number => round(margin.left + (second / last) * (width - margin.left - margin.right));
  const y = (replicas: number): number => round(height - margin.bottom - (replicas / top) * (height - margin.top - margin.bottom));
  const line = (of: (moment: Moment) => number, colour: string, dashes = ''): string =>
    `<polyline points="${moments.map((moment) => `${x(moment.second)},${y(of(moment))}`).join(' ')}" class="curve" stroke="${colour}" stroke-dasharray="${dashes}"/>`;
  const step = Math.max(1, Math.ceil(top / 6));
  const grid = Array.from({ length: Math.floor(top / step) + 1 }, (_, index) => index * step).map(
    (replicas) =>
      `<line x1="${margin.left}" y1="${y(replicas)}" x2="${width - margin.right}" y2="${y(replicas)}" class="grid"/><text x="${margin.left - 8}" y="${y(replicas) + 4}" class="end">${replicas}</text>`,
  );
  const hours = last / 3600;
  const ticks = Array.from({ length: 7 }, (_, index) => (index * hours) / 6).map(
    (hour) => `<text x="${x(hour * 3600)}" y="${height - margin.bottom + 20}" class="middle">${hour.toFixed(1)}</text>`,
  );
  const late = moments
    .filter(({ lateShare }) => lateShare > 0.05)
    .map(
      ({ second, lateShare }) =>
        `<line x1="${x(second)}" y1="${y(0)}" x2="${x(second)}" y2="${round(y(0) - 40 * lateShare)}" stroke="#cf222e"/>`,
    );
  return frame(height, `Replicas over time: ${workload}`, [
    ...grid,
    ...ticks,
    line(({ callsPerSecond }) => callsPerSecond / capacity, '#8c959f'),
    line(({ wanted }) => wanted, '#1a7f37', '3 3'),
    line(({ ready }) => ready, '#1a7f37'),
    ...late,
    `<text x="${width / 2}" y="${height - 10}" class="middle">hours: replicas ready (line), wanted (dashes), needed by the calls made at full capacity (grey), late tokens (red, 40 px = all)</text>`,
  ]);
}
