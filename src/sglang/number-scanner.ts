export const comma = 0x2c;
export const open = 0x5b;
export const close = 0x5d;
const plus = 0x2b;
const minus = 0x2d;
const point = 0x2e;
const zero = 0x30;

/** 10^0 to 10^22: the powers of ten that are doubles. */
const powers = Float64Array.from({ length: 23 }, (_, exponent) => Number(`1e${exponent}`));
/** Digits of an integer of 30 bits. */
const chunk = 9;
/** Any 15 digits are an integer below 2^53. */
const exactDigits = 15;
const jsonNumber = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/;

/**
 * Reads numbers where they lie in JSON text, to the very doubles that JSON.parse gives, without making strings or lists of them. What it does
 * not understand it says it does not, and what that is is for the caller to find out otherwise.
 */
export class NumberScanner {
  /** Where the next byte is. */
  at: number;
  /** The number read last; in an array, because V8 would allocate a double that is returned or kept in a field. */
  readonly value = new Float64Array(1);
  readonly #bytes: Buffer;

  /** @param bytes must end with a byte that belongs to no number: nothing is read behind it */
  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  /** How many bytes there are behind. */
  get left(): number {
    return this.#bytes.length - this.at;
  }

  /** Steps over a byte when it is the next. */
  take(byte: number): boolean {
    const found = this.#bytes[this.at] === byte;
    if (found) this.at++;
    return found;
  }

  /** Steps over bytes when they are the next. */
  takeAll(bytes: Buffer): boolean {
    for (let index = 0; index < bytes.length; index++) if (this.#bytes[this.at + index] !== bytes[index]) return false;
    this.at += bytes.length;
    return true;
  }

  /** How far the next of a byte is; negative: there is none. */
  distanceTo(byte: number): number {
    return this.#bytes.indexOf(byte, this.at) - this.at;
  }

  /**
   * Reads `[number,…]` without white space into the beginning of an array.
   *
   * @returns how many there were; 0: it is another thing, empty, or does not fit
   */
  list(into: Float32Array): number {
    const bytes = this.#bytes;
    if (!this.take(open)) return 0;
    let { at } = this;
    for (let index = 0; index < into.length; index++) {
      // What nearly all of them are, one digit and up to 14 behind the point, is read here, without a branch for the sign: nobody can guess it.
      const begin = at;
      const first = bytes[at] ?? 0;
      const negative = (first - minus - 1) >>> 31;
      at += negative;
      let mantissa = digitAt(bytes, at);
      let scale = 0;
      if (mantissa <= 9 && bytes[++at] === point) {
        const from = ++at;
        for (let digit = digitAt(bytes, at); digit <= 9; digit = digitAt(bytes, ++at)) mantissa = mantissa * 10 + digit;
        scale = at - from;
      }
      let next = bytes[at++];
      if (first >= minus && scale > 0 && scale < exactDigits && (next === comma || next === close))
        into[index] = (mantissa / (powers[scale] ?? 1)) * (1 - 2 * negative);
      else {
        this.at = begin;
        if (!this.number()) return 0;
        into[index] = this.value[0] ?? 0;
        ({ at } = this);
        next = bytes[at++];
      }
      if (next === close) {
        this.at = at;
        return index + 1;
      }
      if (next !== comma) return 0;
    }
    return 0;
  }

  /** Reads a number into `value`. What follows it is for the caller to check. @returns false: there is none */
  number(): boolean {
    const bytes = this.#bytes;
    let { at } = this;
    const negative = bytes[at] === minus;
    if (negative) at++;
    // The number is (high * 10^lowDigits + low) / 10^scale: two integers, for the digits from the first that is not 0.
    let high = 0;
    let low = 0;
    let lowDigits = 0;
    let scale = 0;
    let end = at + chunk;
    let digit = digitAt(bytes, at);
    if (digit === 0) at++;
    else {
      if (digit > 9) return false;
      for (; digit <= 9 && at < end; digit = digitAt(bytes, ++at)) high = high * 10 + digit;
      if (digit <= 9) return this.#rareNumber();
    }
    if (bytes[at] === point) {
      const from = ++at;
      if (high === 0) {
        while (bytes[at] === zero) at++;
        end = at + chunk;
      } else end++;
      digit = digitAt(bytes, at);
      for (; digit <= 9 && at < end; digit = digitAt(bytes, ++at)) high = high * 10 + digit;
      if (digit <= 9) {
        const lowFrom = at;
        for (end = at + chunk; digit <= 9 && at < end; digit = digitAt(bytes, ++at)) low = low * 10 + digit;
        if (digit <= 9) return this.#rareNumber();
        lowDigits = at - lowFrom;
      }
      scale = at - from;
      if (scale === 0 || scale >= powers.length) return this.#rareNumber();
    }
    if (isExponent(bytes[at])) return this.#rareNumber();
    const shifted = high * (powers[lowDigits] ?? 1);
    const divisor = powers[scale] ?? 1;
    // An integer below 2^53 and a power of ten up to 10^22 are doubles, so that their division rounds once (Clinger 1990).
    let value = (shifted + low) / divisor;
    if (shifted + low > Number.MAX_SAFE_INTEGER) value = quotient(shifted, low, divisor);
    if (Number.isNaN(value)) return this.#rareNumber();
    this.value[0] = negative ? -value : value;
    this.at = at;
    return true;
  }

  /** A number with an exponent or with more digits than a double has. */
  #rareNumber(): boolean {
    let end = this.at;
    while (isNumberByte(this.#bytes[end])) end++;
    const text = this.#bytes.toString('latin1', this.at, end);
    if (!jsonNumber.test(text)) return false;
    this.value[0] = Number(text);
    this.at = end;
    return true;
  }
}

/** More than 9 when it is none. */
function digitAt(bytes: Buffer, at: number): number {
  return (bytes[at] ?? 0) ^ zero;
}

function isExponent(byte = 0): boolean {
  return (byte | 0x20) === 0x65;
}

function isNumberByte(byte = 0): boolean {
  return (byte ^ zero) <= 9 || isExponent(byte) || byte === minus || byte === point || byte === plus;
}

/**
 * (high + low) / divisor, rounded once, of integers that are doubles, high >= low >= 0, whose sum need not be one. Error-free transformations (Dekker 1971)
 * give the quotient's remainder, and with it the quotient to about twice a double's digits.
 *
 * @returns NaN when it is too near to the middle between two doubles to tell
 */
function quotient(high: number, low: number, divisor: number): number {
  const sum = high + low;
  const lost = low - (sum - high);
  const rounded = sum / divisor;
  const product = rounded * divisor;
  const roundedHead = upperHalf(rounded);
  const roundedTail = rounded - roundedHead;
  const divisorHead = upperHalf(divisor);
  const divisorTail = divisor - divisorHead;
  const productLost =
    roundedTail * divisorTail - (product - roundedHead * divisorHead - roundedTail * divisorHead - roundedHead * divisorTail);
  const correction = (sum - product - productLost + lost) / divisor;
  // Its relative error is below 2^-50.
  const least = rounded + correction * (1 - 2 ** -40);
  return least === rounded + correction * (1 + 2 ** -40) ? least : Number.NaN;
}

/** The upper 26 bits of a double's 53 (Veltkamp's split). */
function upperHalf(value: number): number {
  const shifted = value * (2 ** 27 + 1);
  return shifted - (shifted - value);
}
