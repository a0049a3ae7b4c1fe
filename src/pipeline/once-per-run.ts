/** What is the same throughout a run of a step, found out when it is first asked for. */
export function oncePerRun<W extends object, T>(find: (work: W) => Promise<T>): (work: W) => Promise<T> {
  const found = new WeakMap<W, Promise<T>>();
  return (work) => {
    let value = found.get(work);
    if (!value) found.set(work, (value = find(work)));
    return value;
  };
}
