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

const x = (share: number): number => round(margin.left + share * inner.width);
const y = (share: number): number => round(margin.top + (1 - share) * inner.height);
const round = (value: number): number => Math.round(value * 10) / 10;
const percent = (share: number): string => `${Math.round(share * 100)} %`;

/** Draws accuracy over LLM share: the routed points, and the straight line between the two models alone that routing has to beat. */
export function paretoSvg(title: string, points: readonly ParetoPoint[]): string {
  const sorted = [...points].sort((a, b) => a.llmShare - b.llmShare);
  const [slm, llm] = ['slm', 'llm'].map((name) => points.find(({ strategy }) => strategy === name));
  const ticks = [0, 0.2, 0.4, 0.6, 0.8, 1];
  const grid = ticks.flatMap((tick) => [
    `<line x1="${x(tick)}" y1="${y(0)}" x2="${x(tick)}" y2="${y(1)}" class="grid"/><text x="${x(tick)}" y="${y(0) + 20}" class="middle">${percent(tick)}</text>`,
    `<line x1="${x(0)}" y1="${y(tick)}" x2="${x(1)}" y2="${y(tick)}" class="grid"/><text x="${x(0) - 8}" y="${y(tick) + 4}" class="end">${percent(tick)}</text>`,
  ]);
  const straight =
    slm && llm
      ? [`<line x1="${x(slm.llmShare)}" y1="${y(slm.accuracy)}" x2="${x(llm.llmShare)}" y2="${y(llm.accuracy)}" class="straight"/>`]
      : [];
  const curve = `<polyline points="${sorted.map((point) => `${x(point.llmShare)},${y(point.accuracy)}`).join(' ')}" class="curve"/>`;
  const marks = sorted.flatMap((point) => {
    const alone = point.strategy !== 'entropy';
    const label = alone ? point.strategy.toUpperCase() : (point.threshold ?? '').toString();
    const left = point.strategy === 'llm';
    return [
      `<circle cx="${x(point.llmShare)}" cy="${y(point.accuracy)}" r="5" class="${alone ? 'alone' : 'routed'}"/>`,
      `<text x="${x(point.llmShare) + (left ? -8 : 8)}" y="${y(point.accuracy) + 18}"${left ? ' class="end"' : ''}>${label}</text>`,
    ];
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${size.height}" role="img" aria-label="${title}">
<style>
  svg { background: #ffffff; font: 13px system-ui, sans-serif; } text { fill: #24292f; } .title { font-size: 16px; font-weight: 600; }
  .middle { text-anchor: middle; } .end { text-anchor: end; } .grid { stroke: #e6e8eb; } .straight { stroke: #8c959f; stroke-dasharray: 6 5; }
  .curve { fill: none; stroke: #1a7f37; stroke-width: 2; } .routed { fill: #1a7f37; } .alone { fill: #57606a; }
</style>
<text x="${margin.left}" y="26" class="title">${title}</text>
${grid.join('\n')}
${straight.join('\n')}
${curve}
${marks.join('\n')}
<text x="${x(0.5)}" y="${size.height - 12}" class="middle">tokens supplied by the LLM</text>
<text transform="translate(16 ${y(0.5)}) rotate(-90)" class="middle">problems solved</text>
</svg>
`;
}
