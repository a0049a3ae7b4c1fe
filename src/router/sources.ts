import { readFile } from 'node:fs/promises';
import type { LlmEndpoint } from './llm-replica.ts';

/** Ends a subscription. */
export type Unsubscribe = () => void;

/**
 * Where the router's live configuration comes from: a file, or the ConfigMap. Hands out the JSON text, first as soon as there is one, then at every
 * change. A source that loses its origin stays silent: the last text remains in force.
 */
export interface ConfigSource {
  subscribe(listener: (text: string) => void): Unsubscribe;
}

/** Where the LLM's endpoints come from: flags, or the EndpointSlices. Hands out whole lists, in the same manner. */
export interface EndpointSource {
  subscribe(listener: (endpoints: readonly LlmEndpoint[]) => void): Unsubscribe;
}

/** The URLs of a command line. Taken for ready; the pool finds out by itself whether they answer. */
export function fixedEndpoints(urls: readonly string[]): EndpointSource {
  return {
    subscribe(listener) {
      listener(urls.map((url) => ({ url, ready: true })));
      return () => undefined;
    },
  };
}

/** A configuration that never changes. */
export function fixedConfig(text: string): ConfigSource {
  return {
    subscribe(listener) {
      listener(text);
      return () => undefined;
    },
  };
}

/**
 * A file, read again twice a second. (Watching would miss the symbolic link that Kubernetes swaps under a mounted ConfigMap.)
 *
 * @param onError hears why the file cannot be read, once for each different reason
 */
export function configFile(path: string, onError: (error: Error) => void, everyMs = 500): ConfigSource {
  return {
    subscribe(listener) {
      let last: string | undefined;
      let lastError: string | undefined;
      const look = async (): Promise<void> => {
        try {
          const text = await readFile(path, 'utf8');
          lastError = undefined;
          if (text !== last) listener((last = text));
        } catch (error) {
          const reason = error instanceof Error ? error : new Error(String(error));
          if (reason.message !== lastError) onError(reason);
          lastError = reason.message;
        }
      };
      void look();
      const timer = setInterval(() => void look(), everyMs).unref();
      return () => clearInterval(timer);
    },
  };
}
