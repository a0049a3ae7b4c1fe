/** What a network looks at, in the order in which it joins them. */
export type Feature = 'hidden' | 'embedding' | 'logits';

/** One of upstream's network classes (r2r/models/router.py), as far as its kind decides what is computed. */
export interface NetworkClass {
  readonly features: readonly Feature[];
  /** The linear layer that takes the features to the width of the backbone. */
  readonly entry: 'logits_projection' | 'hidden_states_projection' | 'post_lm_projection' | 'combined_projection';
  /** Features pass the whole LM head, which is the network's own and trained with it, before the entry. */
  readonly throughLmHead: boolean;
  /** The last few rows are joined. */
  readonly windowed: boolean;
  /** The head has `num_classes` outputs, else `output_dim`, else one. */
  readonly outputs: 'num_classes' | 'output_dim' | 'one';
  /** Parameters that the class creates and never uses. */
  readonly unused: readonly string[];
  /** What an init argument is when it was left out; null: it must be given. */
  readonly defaults: { readonly hidden_states_size?: number | null; readonly logits_size?: number | null };
}

const plain = { throughLmHead: false, windowed: false, outputs: 'output_dim', unused: [] } as const;
const logits = { ...plain, features: ['logits'], entry: 'logits_projection', defaults: { logits_size: null } } as const;
const hidden = { ...plain, features: ['hidden'], entry: 'hidden_states_projection', defaults: { hidden_states_size: null } } as const;
const lmHead = { ...hidden, entry: 'post_lm_projection', throughLmHead: true, defaults: { hidden_states_size: 1536 } } as const;
const combined = { ...plain, entry: 'combined_projection', outputs: 'one' } as const;

/**
 * Upstream's classes. The three MultiClass ones have no forward pass upstream; theirs is that of the class without the prefix, from whose
 * layers they differ in nothing but the head. HiddenStatesTokenClassifierWithLMHead cannot be created upstream (its constructor raises), but
 * what it would compute is written there.
 */
export const networkClasses = {
  LogitsClassifier: logits,
  HiddenStatesClassifier: hidden,
  HiddenStatesClassifierWithLMHead: lmHead,
  HiddenStatesTokenLMHeadClassifier: { ...combined, features: ['hidden', 'embedding'], defaults: { hidden_states_size: 1536 } },
  HiddenStatesTokenLMHeadLogitsClassifier: {
    ...combined,
    features: ['hidden', 'embedding', 'logits'],
    defaults: { hidden_states_size: 1536, logits_size: 100 },
  },
  HiddenStatesLogitsClassifier: {
    ...combined,
    features: ['hidden', 'logits'],
    defaults: { hidden_states_size: 1536, logits_size: 100 },
  },
  HiddenStatesTokenClassifierWithLMHead: {
    ...combined,
    features: ['hidden', 'embedding'],
    unused: ['lm_head.weight', 'lm_head.bias', 'post_lm_projection.weight', 'post_lm_projection.bias'],
    defaults: { hidden_states_size: 1536 },
  },
  MultiLogitsClassifier: { ...logits, windowed: true },
  MultiHiddenStatesClassifier: { ...hidden, windowed: true, defaults: { hidden_states_size: 1024 } },
  MultiClassLogitsClassifier: { ...logits, outputs: 'num_classes' },
  MultiClassHiddenStatesClassifier: { ...hidden, outputs: 'num_classes' },
  MultiClassHiddenStatesClassifierWithLMHead: { ...lmHead, outputs: 'num_classes' },
} as const satisfies Readonly<Record<string, NetworkClass>>;

export type NetworkClassName = keyof typeof networkClasses;

/** The class of this name; upstream registers each also in lower case. */
export function findNetworkClass(modelType: string): NetworkClassName | undefined {
  const names = Object.keys(networkClasses) as NetworkClassName[];
  return names.find((name) => name === modelType) ?? names.find((name) => name.toLowerCase() === modelType.toLowerCase());
}
