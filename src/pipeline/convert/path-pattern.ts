/** Whether a path of a data set matches a pattern as its card writes them: `*`, `?` and `[…]` within a part, `**` for any parts, a folder for all below. */
export function matchesPattern(path: string, pattern: string): boolean {
  const parts = path.split('/');
  const wanted = pattern.replace(/^\.\//, '').split('/');
  if (wanted.at(-1) === '') wanted[wanted.length - 1] = '**';
  return matchesAll(parts, wanted, (part) => part === '**', matchesPart) || (!/[*?[]/.test(pattern) && path.startsWith(`${pattern}/`));
}

type OneCharacter = (character: string) => boolean;

function matchesPart(part: string, pattern: string): boolean {
  const wanted = [...pattern.matchAll(/\[(!?)([^\]]+)\]|([^])/g)].map(([, not, set, single]): '*' | OneCharacter => {
    if (single === '*') return '*';
    if (single === '?') return () => true;
    if (single !== undefined) return (character) => character === single;
    return (character) => inSet(character, set ?? '') === (not === '');
  });
  return matchesAll(
    Array.from(part),
    wanted,
    (each) => each === '*',
    (character, each) => each === '*' || each(character),
  );
}

/** `a-z0-9_` */
function inSet(character: string, set: string): boolean {
  return [...set.matchAll(/(.)-(.)|(.)/g)].some(([, from, to, single]) =>
    single === undefined ? character >= (from ?? '') && character <= (to ?? '') : character === single,
  );
}

/** Greedy with one way back: items times wanted steps at most, whatever the pattern. */
function matchesAll<T, W>(
  items: readonly T[],
  wanted: readonly W[],
  isAny: (each: W) => boolean,
  fits: (item: T, each: W) => boolean,
): boolean {
  let item = 0;
  let want = 0;
  let lastAny = -1;
  let resume = 0;
  while (item < items.length) {
    const each = wanted[want];
    if (want < wanted.length && isAny(each as W)) {
      lastAny = want++;
      resume = item;
    } else if (want < wanted.length && fits(items[item] as T, each as W)) {
      item++;
      want++;
    } else if (lastAny >= 0) {
      want = lastAny + 1;
      item = ++resume;
    } else return false;
  }
  while (want < wanted.length && isAny(wanted[want] as W)) want++;
  return want === wanted.length;
}
