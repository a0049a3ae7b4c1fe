import { dirname } from 'node:path';
import { InferenceSession } from 'onnxruntime-node';
import { sumsExactly } from './integer-products.ts';

export interface SessionOptions {
  /** @default cpu */
  readonly device?: 'cpu' | 'cuda';
  /** That one run may use. @default 1 */
  readonly threads?: number;
}

/**
 * Opens the graph of a router network, whose weights lie beside it. Whoever measures a network and whoever serves it open it by this, and so
 * compute the same bits.
 *
 * @param model path of the .onnx file
 * @throws whatever ONNX Runtime says
 */
export function createNetworkSession(model: string, { device = 'cpu', threads = 1 }: SessionOptions = {}): Promise<InferenceSession> {
  return InferenceSession.create(model, {
    executionProviders: [device],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    logSeverityLevel: 3,
    extra: {
      session: {
        model_external_initializers_file_folder_path: dirname(model),
        x64quantprecision: sumsExactly() ? '0' : '1',
        intra_op: { allow_spinning: '0' },
      },
    },
  });
}
