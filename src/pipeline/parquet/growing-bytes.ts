/**
 * Bytes that are appended to; numbers are little-endian. Emptied, it keeps its room; what it has outgrown is given back at once, since the
 * garbage collector lets many megabytes of buffers gather before it looks at them.
 */
export class GrowingBytes {
  #room = new ArrayBuffer(0);
  #buffer = Buffer.from(this.#room);
  #view = new DataView(this.#room);
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

  /** Gives its room back: views of it are empty from now on. */
  release(): void {
    this.#length = 0;
    this.#resize(0);
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
    const room = this.#room.byteLength;
    if (this.#length > room) this.#resize(Math.max(1024, this.#length, 2 * room));
    return at;
  }

  #resize(bytes: number): void {
    this.#room = this.#room.transfer(bytes);
    this.#buffer = Buffer.from(this.#room);
    this.#view = new DataView(this.#room);
  }
}
