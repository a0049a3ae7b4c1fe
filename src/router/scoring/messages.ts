import type { BundleManifest, Precision } from '../../model/bundle-manifest.ts';
import type { ScoringErrorCode } from './errors.ts';
import type { RowBatch } from './row-batch.ts';

export const devices = ['cpu', 'cuda'] as const;

/** What a network is loaded from and runs on. */
export interface NetworkOptions {
  readonly bundleFolder: string;
  /** The SLM's Hugging Face folder, for its embedding and LM-head rows. */
  readonly slmFolder: string;
  readonly precision: Precision;
  readonly device: (typeof devices)[number];
  /** Threads one run may use. */
  readonly threads: number;
}

export interface NetworkFacts {
  readonly digest: string;
  readonly manifest: BundleManifest;
  /** Checking the files included. */
  readonly loadMs: number;
}

/** Numbers of a row in an answer: probability, aleatoric, epistemic, spread. NaN where the graph does not give one. */
export const numbersPerRow = 4;

export type NetworkRequest = { readonly type: 'batch'; readonly batch: RowBatch } | { readonly type: 'close' };

export type NetworkReply =
  | { readonly type: 'ready'; readonly facts: NetworkFacts }
  | { readonly type: 'refused'; readonly code: ScoringErrorCode; readonly message: string }
  /** The answer to the one batch under way: [rows, 4]. */
  | { readonly type: 'scored'; readonly numbers: Float64Array<ArrayBuffer>; readonly runMs: number }
  | { readonly type: 'failed'; readonly message: string };
