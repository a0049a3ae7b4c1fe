import type { Unsubscribe } from './sources.ts';

/**
 * Reads files again and again and hands out what they hold when it has changed. (Watching would miss the symbolic link that Kubernetes
 * swaps under a mounted Secret.) What cannot be read leaves the last contents in force.
 *
 * @param read gives the contents as text
 * @param listener may throw: then the contents are refused, and offered again only once they have changed
 * @param onError hears why files cannot be read or are refused, once for each different reason
 * @returns resolves after the first reading
 */
export async function pollFiles(
  read: () => Promise<string>,
  listener: (text: string) => void,
  onError: (error: Error) => void,
  everyMs = 500,
): Promise<Unsubscribe> {
  let last: string | undefined;
  let lastError: string | undefined;
  const look = async (): Promise<void> => {
    try {
      const text = await read();
      if (text === last) return;
      last = text;
      lastError = undefined;
      listener(text);
    } catch (error) {
      const reason = error instanceof Error ? error : new Error(String(error));
      if (reason.message !== lastError) onError(reason);
      lastError = reason.message;
    }
  };
  await look();
  const timer = setInterval(() => void look(), everyMs).unref();
  return () => clearInterval(timer);
}
