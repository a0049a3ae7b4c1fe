/** Bytes that are appended to; numbers are little-endian. Emptied, it keeps its room. */
export class GrowingBytes {
  #buffer = Buffer.alloc(0);
  #view = new DataView(this.#buffer.buffer, this.#buffer.byteOffset, 0);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** A view: good until the next change. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#buffer.subarray(0, this.#length);
  }

  clear(): void {
    this.#length = 0;
  }

  uint8(value: number): void {
    const at = this.#grow(1);
    this.#view.setUint8(at, value);
  }

  int32(value: number): void {
    const at = this.#grow(4);
    this.#view.setInt32(at, value, true);
  }

  /** @param value a safe integer */
  int64(value: number): void {
    const at = this.#grow(8);
    this.#view.setUint32(at, value, true);
    this.#view.setInt32(at + 4, Math.floor(value / 2 ** 32), true);
  }

  float32(value: number): void {
    const at = this.#grow(4);
    this.#view.setFloat32(at, value, true);
  }

  float64(value: number): void {
    const at = this.#grow(8);
    this.#view.setFloat64(at, value, true);
  }

  append(bytes: Uint8Array): void {
    const at = this.#grow(bytes.byteLength);
    this.#buffer.set(bytes, at);
  }

  /** UTF-8 behind its length. */
  text(value: string): void {
    const length = Buffer.byteLength(value);
    this.int32(length);
    const at = this.#grow(length);
    this.#buffer.write(value, at);
  }

  /** LEB128 */
  varint(value: number): void {
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.uint8((rest % 0x80) | 0x80);
    this.uint8(rest);
  }

  #grow(by: number): number {
    const at = this.#length;
    this.#length += by;
    if (this.#length > this.#buffer.byteLength) {
      const larger = Buffer.alloc(Math.max(1024, this.#length, 2 * this.#buffer.byteLength));
      larger.set(this.#buffer.subarray(0, at));
      this.#buffer = larger;
      this.#view = new DataView(larger.buffer, larger.byteOffset, larger.byteLength);
    }
    return at;
  }
}
