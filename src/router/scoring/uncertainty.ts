import { digamma } from './digamma.ts';

/** Best logits that count as evidence. */
export const evidenceLogits = 10;

export interface Uncertainty {
  readonly aleatoric: number;
  readonly epistemic: number;
}

/**
 * The ten best raw logits taken as Dirichlet evidence, as upstream does (r2r/utils/metrics.py, `compute_logu`): with S their sum,
 * AU = -sum x_i / S (psi(x_i + 1) - psi(S + 1)) and EU = 10 / (S + 10). Logits at or below 0 are no evidence in the theory, but upstream puts
 * them into the same formulas, so this does too; where those have no value the result is NaN or infinite.
 *
 * @param logits descending, at least ten
 */
export function uncertaintyOf(logits: Float32Array): Uncertainty {
  let sum = 0;
  for (let index = 0; index < evidenceLogits; index++) sum += logits[index] ?? Number.NaN;
  const psiOfSum = digamma(sum + 1);
  let aleatoric = 0;
  for (let index = 0; index < evidenceLogits; index++) {
    const logit = logits[index] ?? Number.NaN;
    aleatoric -= (logit / sum) * (digamma(logit + 1) - psiOfSum);
  }
  return { aleatoric, epistemic: evidenceLogits / (sum + evidenceLogits) };
}
