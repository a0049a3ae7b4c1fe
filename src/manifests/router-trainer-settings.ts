import type { TrainingSpec } from '../api/r2rrouter-training.ts';
import type { JsonObject, JsonValue } from '../api/step-identity.ts';

/**
 * What the trainer is told: upstream's configuration as the user gave it, and the fields of the spec as the keys of that configuration that
 * they win over. What is left out is the paper's, which the trainer knows.
 */
export interface TrainerSettings extends JsonObject {
  readonly config: JsonObject;
  readonly settings: JsonObject;
}

export function trainerSettings(training: TrainingSpec): TrainerSettings {
  const { loss } = training;
  const keys: Readonly<Record<string, JsonValue | undefined>> = {
    'model.model_type': training.network,
    'model.init_args.hidden_dims': training.hiddenDims,
    'model.init_args.expansion_factor': training.expansionFactor,
    'model.init_args.dropout_rate': training.dropout,
    'model.init_args.normalize_input': training.normalizeInput,
    // The one class of loss and of network that tell three classes apart go together.
    'model.output_type': training.network?.startsWith('MultiClass') ? 'multiclass' : undefined,
    'training.optimizer.lr': training.learningRate,
    'training.optimizer.weight_decay': training.weightDecay,
    'training.params.batch_size': training.batchSize,
    'training.params.num_epochs': training.epochs,
    'training.params.patience': training.patience,
    'training.loss.type': loss?.type,
    'training.loss.pos_weight': loss?.posWeight,
    'training.loss.recall_factor': loss?.recallFactor,
    'training.loss.alpha': loss?.alpha,
    'training.loss.gamma': loss?.gamma,
    'training.loss.beta': loss?.beta,
    'training.loss.positive_prob': loss?.positiveProb,
    'training.seed': training.seed,
    'optimizing.min_recall': training.minRecall,
  };
  return {
    config: (training.config ?? {}) as JsonObject,
    settings: Object.fromEntries(Object.entries(keys).filter((entry): entry is [string, JsonValue] => entry[1] !== undefined)),
  };
}
