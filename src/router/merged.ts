/**
 * Hands out what several generators yield as it comes. Each waits until what it yielded last was taken. The first failure ends all.
 *
 * @param stop ends what the generators are waiting for; called when all is over, before they are told to return
 */
export async function* merged<T>(generators: readonly AsyncGenerator<T, void, void>[], stop: () => void): AsyncGenerator<T, void, void> {
  interface Arrival {
    readonly index: number;
    readonly next: IteratorResult<T, void>;
  }
  const pending = new Map<number, Promise<Arrival>>();
  const advance = (index: number, generator: AsyncGenerator<T, void, void>): void => {
    const arrival = generator.next().then((next) => ({ index, next }));
    // A failure that nobody is waiting for, because another came first, is no unhandled rejection.
    arrival.catch(() => undefined);
    pending.set(index, arrival);
  };
  for (const [index, generator] of generators.entries()) advance(index, generator);
  try {
    while (pending.size > 0) {
      const { index, next } = await Promise.race(pending.values());
      const generator = generators[index];
      if (next.done || !generator) {
        pending.delete(index);
        continue;
      }
      yield next.value;
      advance(index, generator);
    }
  } finally {
    stop();
    await Promise.all(generators.map((generator) => generator.return()));
  }
}
