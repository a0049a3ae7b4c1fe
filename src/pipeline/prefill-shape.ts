import { z } from 'zod';
import { bytesPerNumber, type PrefillShape } from './tables.ts';

/** The metadata of the prefill step's files, which says what their vectors are. */
export function shapeMetadata({ hiddenSize, hiddenType, topCount }: PrefillShape): Record<string, string> {
  return { 'r2r.hidden_size': String(hiddenSize), 'r2r.hidden_type': hiddenType, 'r2r.top_count': String(topCount) };
}

/** Reads what {@link shapeMetadata} wrote. */
export const shapeMetadataSchema = z
  .object({
    'r2r.hidden_size': z.coerce.number().int().positive(),
    'r2r.hidden_type': z.enum(Object.keys(bytesPerNumber) as (keyof typeof bytesPerNumber)[]),
    'r2r.top_count': z.coerce.number().int().positive(),
  })
  .transform((metadata): PrefillShape => ({
    hiddenSize: metadata['r2r.hidden_size'],
    hiddenType: metadata['r2r.hidden_type'],
    topCount: metadata['r2r.top_count'],
  }));
