import { scanAnswer } from './answer-scanner.ts';
import { readPacked, type ExpectedAnswer } from './answer.ts';
import { EngineError } from './errors.ts';
import { messageOf } from './exchange.ts';
import type { PackedAnswer } from './packed-answer.ts';

/**
 * Parses and checks the JSON text of an answer to `/generate`.
 *
 * @throws EngineError `malformed` or `aborted`
 */
export function decodeAnswer(bytes: Uint8Array<ArrayBuffer>, expected: ExpectedAnswer, url: string): PackedAnswer {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const scanned = scanAnswer(text, expected);
  if (scanned) return readPacked(scanned.value, expected, url, scanned.rows);
  let value: unknown;
  try {
    value = JSON.parse(text.toString('utf8'));
  } catch (cause) {
    throw new EngineError('malformed', url, `answer to /generate is not JSON: ${messageOf(cause)}`, { cause });
  }
  return readPacked(value, expected, url);
}
