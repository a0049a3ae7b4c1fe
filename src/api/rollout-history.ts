import { z } from 'zod';

/** Entries kept; older ones are dropped. */
export const maxHistory = 10;

/** `status.history[]`. */
export const servedRevisionSchema = z.object({
  revision: z.string().max(63).describe('The revision.'),
  servedSince: z.iso.datetime().optional().describe('When the endpoint moved to it; absent where that was before this list.'),
  slm: z.string().max(1024).optional().describe('Model of the SLM.'),
  llm: z.string().max(1024).optional().describe('Model of the LLM.'),
  slmImage: z.string().max(512).optional().describe("Image of the SLM's engine; absent where the spec names none."),
  llmImage: z.string().max(512).optional().describe("Image of the LLM's engine; absent where the spec names none."),
  changeCause: z.string().max(1024).optional().describe('The annotation kubernetes.io/change-cause of that time.'),
});

export type ServedRevision = z.infer<typeof servedRevisionSchema>;
