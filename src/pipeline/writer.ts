import type { StepReader } from './step.ts';

/** Who wrote the texts that are labelled. */
export type Writer = 'llm' | 'slm';

/** As the respond step was told; the LLM where it was told nothing, as upstream has it. */
export function writerOf(respond: StepReader): Writer {
  return respond.manifest.params['writer'] === 'slm' ? 'slm' : 'llm';
}
