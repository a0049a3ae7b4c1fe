import type { BundleManifest } from '../bundle-manifest.ts';
import { recoveryRows } from '../bundle-manifest.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { elementType } from '../onnx-schema.ts';

export type LogitsType = BundleManifest['logitsType'];

export interface RecoveredLogits {
  /** float32, of the shape of `logprobs`. */
  readonly logits: string;
  /** float32 [R]: largest minus smallest of the five candidates for the constant. */
  readonly spread: string;
}

/**
 * Adds the nodes that turn log-probabilities back into raw logits.
 *
 * A server gives log p_i = z_i - c with an unknown c for each row, and the network was trained on z. The product of the hidden state, which
 * is the LM head's own input, and the LM head's row of a token is that token's z, up to the order of summation; rounded to the server's type
 * it is nearly always the very same number. So each of the five best tokens gives a candidate c_j = snap(hidden . lm_head_j) - log p_j, the
 * median of the five is right although one or two of them were rounded the other way, and z_i = snap(log p_i + c). Differences are taken in
 * float64, which leaves the rounding of log p_i by the server as the only error: 2^-19 or so for one of -16 to -32, less than half a step of
 * the server's type but for logits next to zero (below 2^-10 in bfloat16, 2^-7 in float16), whose last bits the server did not send.
 *
 * Shapes: `hidden` [R, H], `lmHead` [R, 5, H], `logprobs` [R, L].
 */
export function recoverLogits(
  graph: GraphBuilder,
  { hidden, lmHead, logprobs }: { readonly hidden: string; readonly lmHead: string; readonly logprobs: string },
  logitsType: LogitsType,
): RecoveredLogits {
  const cast = (value: string, type: keyof typeof elementType) => graph.node('Cast', [value], { to: elementType[type] });
  const snap = (value: string) => (logitsType === 'float32' ? value : cast(cast(value, logitsType), 'float32'));

  const column = graph.node('Unsqueeze', [hidden, graph.integers([2])]);
  const products = graph.node('Squeeze', [graph.node('MatMul', [lmHead, column]), graph.integers([2])]);
  const doubles = cast(logprobs, 'float64');
  const best = graph.node('Slice', [doubles, graph.integers([0]), graph.integers([recoveryRows]), graph.integers([1])]);
  const candidates = graph.node('Sub', [cast(snap(products), 'float64'), best]);
  const [sorted = ''] = graph.nodes('TopK', [candidates, graph.integers([recoveryRows])], 2, { axis: 1, largest: 1, sorted: 1 });
  const each = Array.from({ length: recoveryRows }, () => 1);
  const columns = graph.nodes('Split', [sorted, graph.integers(each)], recoveryRows, { axis: 1 });
  const [largest = '', median = '', smallest = ''] = [columns[0], columns[(recoveryRows - 1) / 2], columns.at(-1)];
  const logits = snap(cast(graph.node('Add', [doubles, median]), 'float32'));
  const spread = graph.node('Squeeze', [cast(graph.node('Sub', [largest, smallest]), 'float32'), graph.integers([1])]);
  return { logits, spread };
}
