import { recoveryRows, type BundleInput, type BundleManifest } from '../model/bundle-manifest.ts';
import { comparisonThreshold } from '../model/bundle.ts';

/** Five candidates for the constant of a row's logits that differ by more mean another SLM or LM head (facts: at most one rounding step). */
const suspiciousSpread = 0.3;

const count = (value: number) => value.toLocaleString('en-US');
const probability = (value: number) => String(Number(value.toPrecision(4)));
const percent = (share: number) => `${(share * 100).toFixed(1)} %`;

function size(bytes: number): string {
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows.reduce<readonly number[]>((most, row) => row.map((cell, at) => Math.max(cell.length, most[at] ?? 0)), []);
  return rows.map((row) =>
    row
      .map((cell, at) => (at === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[at] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
}

function inputText(manifest: BundleManifest): string {
  const shapes: Readonly<Record<BundleInput, string>> = {
    hidden: `[${manifest.hiddenSize}]`,
    embedding: `[${manifest.embeddingSize}]`,
    logprobs: `[${manifest.logitsSize}]`,
    lm_head: `[${recoveryRows}, ${manifest.hiddenSize}]`,
  };
  return manifest.inputs.map((name) => `${name} ${shapes[name]}`).join(', ');
}

function precisionTable({ graphs }: BundleManifest): string[] {
  const made = (['fp32', 'int8'] as const).flatMap((precision) => {
    const graph = graphs[precision];
    return graph ? [{ precision, ...graph }] : [];
  });
  const rows = made.map(({ precision, model, data, comparison }) => {
    const compared = comparison
      ? [
          count(comparison.rows),
          `${comparison.changed} (${percent(comparison.rows > 0 ? comparison.changed / comparison.rows : 0)})`,
          comparison.meanDifference.toExponential(1),
          comparison.maxDifference.toExponential(1),
        ]
      : ['-', '-', '-', '-'];
    return [precision, size(model.bytes + (data?.bytes ?? 0)), ...compared];
  });
  return table([['precision', 'size', 'rows', 'decisions changed', 'mean |dp|', 'max |dp|'], ...rows]);
}

/** What a bundle is, line by line, for people. */
export function bundleSummary(folder: string, digest: string, manifest: BundleManifest): string[] {
  const { network, parameters, classes, threshold, slm, ownEmbedding, provenance, graphs, metrics } = manifest;
  const comparison = graphs.int8?.comparison;
  const lines = [
    ['router bundle', folder],
    ['digest', `sha256:${digest}`],
    ['network', network === null ? 'none: it recovers raw logits' : `${network}, ${count(parameters)} parameters, ${classes} output(s)`],
    ['inputs', inputText(manifest)],
    ...(network === null
      ? []
      : [['threshold', threshold === null ? 'none of its own: set one' : `${probability(threshold)} (the checkpoint's own)`]]),
    ['SLM', `${slm.name}, ${count(slm.vocabSize)} tokens, logits in ${manifest.logitsType}`],
    ...(manifest.inputs.includes('embedding') ? [['embedding', ownEmbedding ? `its own (${size(ownEmbedding.bytes)})` : "the SLM's"]] : []),
    ['source', provenance.checkpointDigest === null ? provenance.source : `${provenance.source} (sha256:${provenance.checkpointDigest})`],
  ];
  const summary = [...lines.map(([label = '', value = '']) => `${label.padEnd(15)}${value}`), ''];
  summary.push(...precisionTable(manifest));
  if (comparison) {
    const share = metrics['calibrationDivergentShare'] ?? 0;
    const where = threshold === null ? `${comparisonThreshold}, for want of a threshold` : probability(threshold);
    summary.push(`${percent(share)} of these ${count(comparison.rows)} rows are divergent at ${where}`);
  } else if (graphs.fp32 && graphs.int8) {
    summary.push('int8 was not compared with fp32: there were no calibration rows');
  }
  const spread = metrics['calibrationMaxLogitSpread'];
  if (spread !== undefined && spread > suspiciousSpread)
    summary.push(
      `warning: candidates for the constant of the raw logits differ by up to ${spread.toFixed(2)}; did the rows come from this SLM, greedily?`,
    );
  return summary;
}
