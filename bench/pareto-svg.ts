/** A point of the plot: one way of routing. */
export interface ParetoPoint {
  readonly strategy: string;
  readonly threshold: number | null;
  /** Shares from 0 to 1. */
  readonly accuracy: number;
  readonly llmShare: number;
}

const size = { width: 720, height: 440 };
const margin = { left: 64, right: 24, top: 48, bottom: 56 };
const inner = { width: size.width - margin.left - margin.right, height: size.height - margin.top - margin.bottom };

/** The plot ends at this LLM share: what matters lies near 0, and the LLM alone is drawn as a level. */
const widest = 0.35;
const x = (share: number): number => round(margin.left + (share / widest) * inner.width);
const y = (share: number): number => round(margin.top + (1 - share) * inner.height);
const round = (value: number): number => Math.round(value * 10) / 10;
const percent = (share: number): string => `${Math.round(share * 100)} %`;

/** Draws accuracy over LLM share: the routed points, and the straight line between the two models alone that routing has to beat. */
export function paretoSvg(title: string, points: readonly ParetoPoint[]): string {
  const sorted = [...points].sort((a, b) => a.llmShare - b.llmShare);
  const [slm, llm] = ['slm', 'llm'].map((name) => points.find(({ strategy }) => strategy === name));
  const shares = [0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35];
  const ticks = [0, 0.2, 0.4, 0.6, 0.8, 1];
  const grid = [
    ...shares.map(
      (tick) =>
        `<line x1="${x(tick)}" y1="${y(0)}" x2="${x(tick)}" y2="${y(1)}" class="grid"/><text x="${x(tick)}" y="${y(0) + 20}" class="middle">${percent(tick)}</text>`,
    ),
    ...ticks.map(
      (tick) =>
        `<line x1="${x(0)}" y1="${y(tick)}" x2="${x(widest)}" y2="${y(tick)}" class="grid"/><text x="${x(0) - 8}" y="${y(tick) + 4}" class="end">${percent(tick)}</text>`,
    ),
  ];
  const mixed = slm && llm ? slm.accuracy + (widest / llm.llmShare) * (llm.accuracy - slm.accuracy) : 0;
  const straight =
    slm && llm
      ? [
          `<line x1="${x(0)}" y1="${y(slm.accuracy)}" x2="${x(widest)}" y2="${y(mixed)}" class="straight"/>`,
          `<line x1="${x(0)}" y1="${y(llm.accuracy)}" x2="${x(widest)}" y2="${y(llm.accuracy)}" class="straight"/>`,
          `<text x="${x(widest) - 8}" y="${y(llm.accuracy) - 8}" class="end">LLM alone</text>`,
          `<text x="${x(0) + 12}" y="${y(slm.accuracy) + 18}">SLM alone</text>`,
        ]
      : [];
  const shown = sorted.filter(({ llmShare }) => llmShare <= widest);
  const curveOf = (strategy: string): string => {
    const own = shown.filter((point) => point.strategy === 'slm' || point.strategy === strategy);
    return `<polyline points="${own.map((point) => `${x(point.llmShare)},${y(point.accuracy)}`).join(' ')}" class="curve ${strategy}"/>`;
  };
  const marks = shown.map(({ strategy, threshold, llmShare, accuracy }) => {
    const kind = strategy === 'slm' ? 'alone' : `mark-${strategy}`;
    return `<circle cx="${x(llmShare)}" cy="${y(accuracy)}" r="4" class="${kind}"><title>${strategy} ${threshold ?? ''}</title></circle>`;
  });
  const legend = [
    ['neural', 'router network'],
    ['entropy', 'entropy'],
  ].map(
    ([name, text], index) =>
      `<circle cx="${x(0.22)}" cy="${y(0.3) + 24 * index}" r="4" class="mark-${name}"/><text x="${x(0.22) + 12}" y="${y(0.3) + 24 * index + 4}">${text}</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${size.height}" role="img" aria-label="${title}">
<style>
  svg { background: #ffffff; font: 13px system-ui, sans-serif; } text { fill: #24292f; } .title { font-size: 16px; font-weight: 600; }
  .middle { text-anchor: middle; } .end { text-anchor: end; } .grid { stroke: #e6e8eb; } .straight { stroke: #8c959f; stroke-dasharray: 6 5; }
  .curve { fill: none; stroke-width: 2; } .neural { stroke: #1a7f37; } .mark-neural { fill: #1a7f37; } .entropy { stroke: #9a6700; } .mark-entropy { fill: #9a6700; } .alone { fill: #57606a; }
</style>
<text x="${margin.left}" y="26" class="title">${title}</text>
${grid.join('\n')}
${straight.join('\n')}
${curveOf('entropy')}
${curveOf('neural')}
${marks.join('\n')}
${legend.join('\n')}
<text x="${x(0.5)}" y="${size.height - 12}" class="middle">tokens supplied by the LLM</text>
<text transform="translate(16 ${y(0.5)}) rotate(-90)" class="middle">problems solved</text>
</svg>
`;
}
