import { CheckpointError, type CheckpointErrorCode } from './errors.ts';
import { opcodeName } from './opcodes.ts';
import type { PicklePlace } from './pickle-values.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
/** Longer than any module or name on the list. */
const maxLineBytes = 256;

/** Reads a pickle from front to back and never beyond its end. */
export class PickleCursor implements PicklePlace {
  /** The operation in progress, and its byte. */
  opcode = 0;
  start = 0;
  readonly #bytes: Buffer;
  readonly #path: string;
  #position = 0;

  constructor(bytes: Buffer, path: string) {
    this.#bytes = bytes;
    this.#path = path;
  }

  get remaining(): number {
    return this.#bytes.length - this.#position;
  }

  error(code: CheckpointErrorCode, problem: string, fix?: string): CheckpointError {
    const where = `data.pkl, byte ${this.start}: ${opcodeName(this.opcode)}`;
    return new CheckpointError(code, this.#path, `${where} ${problem}`, fix === undefined ? {} : { fix });
  }

  /** Goes on to the next operation. */
  next(): number {
    if (this.remaining === 0)
      throw new CheckpointError('CHECKPOINT_PICKLE', this.#path, `data.pkl ends at byte ${this.#position} without STOP`);
    this.start = this.#position;
    this.opcode = this.#bytes[this.#position++] ?? 0;
    return this.opcode;
  }

  take(length: number): Buffer {
    if (length > this.remaining) throw this.error('CHECKPOINT_PICKLE', `needs ${length} bytes where ${this.remaining} are left`);
    this.#position += length;
    return this.#bytes.subarray(this.#position - length, this.#position);
  }

  uint8(): number {
    return this.take(1).readUInt8();
  }

  uint16(): number {
    return this.take(2).readUInt16LE();
  }

  uint32(): number {
    return this.take(4).readUInt32LE();
  }

  int32(): number {
    return this.take(4).readInt32LE();
  }

  /** A length of 8 bytes. */
  uint64(): number {
    return Number(this.take(8).readBigUInt64LE());
  }

  float64(): number {
    return this.take(8).readDoubleBE();
  }

  /** LONG1's integer: its length in a byte, then two's complement. */
  long(): number {
    const length = this.uint8();
    const bytes = this.take(length);
    if (length > 8) throw this.error('CHECKPOINT_LIMIT', `holds an integer of ${length} bytes`);
    let value = 0n;
    for (let at = length - 1; at >= 0; at--) value = (value << 8n) | BigInt(bytes[at] ?? 0);
    const result = Number(BigInt.asIntN(8 * length, value));
    if (!Number.isSafeInteger(result)) throw this.error('CHECKPOINT_LIMIT', 'holds an integer beyond 2^53');
    return result;
  }

  text(length: number): string {
    const bytes = this.take(length);
    try {
      return utf8.decode(bytes);
    } catch {
      throw this.error('CHECKPOINT_PICKLE', 'holds text that is not UTF-8');
    }
  }

  line(): string {
    const end = this.#bytes.subarray(this.#position, this.#position + maxLineBytes).indexOf(0x0a);
    if (end < 0) throw this.error('CHECKPOINT_PICKLE', `holds no line of at most ${maxLineBytes} bytes`);
    const text = this.text(end);
    this.#position++;
    return text;
  }
}
