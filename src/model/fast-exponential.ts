import type { GraphBuilder } from './graph-builder.ts';
import { elementType } from './onnx-schema.ts';

/** exp(x) = 2^(x log2 e): the fractional part of the exponent is corrected by this polynomial, lowest power first. */
const polynomial = [0.00010703434948458272, 0.30354260500649682, -0.22433836478672356, -0.079204240219773236] as const;
const log2e = 1.44269502162933349609375;
const exponentBias = 127;
/** 2^(index - 127); index 0 stands for everything that underflows. */
const powersOfTwo = Array.from({ length: 2 * exponentBias }, (_, index) => (index === 0 ? 0 : 2 ** (index - exponentBias)));

/**
 * exp of values that are not positive, as PyTorch's fused attention computes it on CPUs: Malossi, Ineichen, Bekas and Curioni, "Fast Exponential
 * Computation on SIMD Architectures" (2015). It writes the exponent to base two straight into a float's bits; the result is exp to four digits.
 */
export function fastExponential(graph: GraphBuilder, value: string): string {
  const [c0, c1, c2, c3] = polynomial.map((coefficient) => graph.floats([coefficient]));
  const exponent = graph.node('Mul', [value, graph.floats([log2e])]);
  const fraction = graph.node('Sub', [exponent, graph.node('Floor', [exponent])]);
  let correction = graph.node('Add', [graph.node('Mul', [fraction, c3 ?? '']), c2 ?? '']);
  correction = graph.node('Add', [graph.node('Mul', [fraction, correction]), c1 ?? '']);
  correction = graph.node('Add', [graph.node('Mul', [fraction, correction]), c0 ?? '']);
  const biased = graph.node('Add', [graph.node('Sub', [exponent, correction]), graph.floats([exponentBias])]);
  const whole = graph.node('Floor', [biased]);
  const index = graph.node('Cast', [graph.node('Max', [whole, graph.floats([0])])], { to: elementType.int32 });
  const mantissa = graph.node('Add', [graph.node('Sub', [biased, whole]), graph.floats([1])]);
  return graph.node('Mul', [graph.node('Gather', [graph.floats(powersOfTwo), index]), mantissa]);
}
