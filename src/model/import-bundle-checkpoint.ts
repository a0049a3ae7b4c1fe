/** What an import takes from a checkpoint besides its weights, each field checked. */
import { BundleError } from './bundle-errors.ts';
import type { Checkpoint } from './checkpoint/checkpoint.ts';
import { parseNetworkConfig } from './router-network/network-config.ts';
import type { SlmConfig } from './slm-config.ts';

const maxMetrics = 100;

/** The checkpoint's own threshold, `common_args.threshold`; null when it has none. @throws BundleError naming it */
export function checkpointThreshold({ path, commonArgs }: Checkpoint): number | null {
  const threshold = commonArgs['threshold'] ?? null;
  if (threshold === null) return null;
  if (typeof threshold === 'number' && threshold >= 0 && threshold <= 1) return threshold;
  const problem = `common_args.threshold is ${JSON.stringify(threshold)}, not a probability from 0 to 1`;
  throw new BundleError(
    'BUNDLE_CHECKPOINT_INVALID',
    path,
    problem,
    'save the checkpoint again with the threshold it was tuned to, or none',
  );
}

/** Numbers that were saved beside the weights (`model_specific_args`), for people to see. */
export function checkpointMetrics({ modelSpecificArgs }: Checkpoint): Record<string, number> {
  const numbers = Object.entries(modelSpecificArgs).filter((entry): entry is [string, number] => Number.isFinite(entry[1]));
  return Object.fromEntries(numbers.slice(0, maxMetrics).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/**
 * Checks that the network was trained for hidden states of the SLM's width, and judges one row at a time. Returns the name of its class.
 *
 * @throws BundleError; NetworkError for an unknown class or a wrong argument
 */
export function assertNetworkFits(checkpoint: Checkpoint, slm: SlmConfig, slmFolder: string): string {
  const { modelType, initArgs } = checkpoint;
  const { hiddenSize, window, name } = parseNetworkConfig(modelType, initArgs);
  if (window > 1) {
    const problem = `a ${name} judges ${window} rows together, which no router can serve (upstream's cannot either)`;
    throw new BundleError('BUNDLE_CHECKPOINT_INVALID', checkpoint.path, problem, 'train a network that judges one row');
  }
  if (hiddenSize === null || hiddenSize === slm.hiddenSize) return name;
  const trainedFor = initArgs['pretrained_model_name'];
  const named = typeof trainedFor === 'string' ? ` (pretrained_model_name ${JSON.stringify(trainedFor.slice(0, 100))})` : '';
  const problem = `hidden_states_size is ${hiddenSize}${named}, the hidden size of the SLM in ${slmFolder} is ${slm.hiddenSize}`;
  // all three of upstream's training configurations for Qwen3 say 2048, which is right for the 1.7B alone
  const mistaken = hiddenSize === 2048 && typeof trainedFor === 'string' && trainedFor.includes('Qwen3') && !trainedFor.includes('1.7B');
  const fix = `give an SLM of hidden size ${hiddenSize}${mistaken ? ' (Qwen3-1.7B has it; upstream names 2048 for other sizes by mistake)' : ''}, or a checkpoint trained for ${slm.hiddenSize}`;
  throw new BundleError('BUNDLE_SLM_MISMATCH', checkpoint.path, problem, fix);
}
