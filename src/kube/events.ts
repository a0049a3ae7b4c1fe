import { randomUUID } from 'node:crypto';
import type { KubeClient } from './client.ts';
import { microTime, pause, systemClock, type Clock } from './clock.ts';
import { silentLogger, type Logger } from './logger.ts';
import type { KubeMetrics } from './metrics.ts';
import type { Live, ObjectKey } from './object.ts';
import { events } from './resources.ts';
import { TokenBucket } from './token-bucket.ts';

export interface EventNote {
  readonly type: 'Normal' | 'Warning';
  /** CamelCase, stable: what scripts look for. */
  readonly reason: string;
  /** CamelCase verb: what the controller was doing. */
  readonly action: string;
  /** For people; cut at 1024 bytes. */
  readonly note: string;
}

export interface EventRecorderOptions {
  /** For example `r2r.dev/operator`. */
  readonly controller: string;
  /** The process: the pod's name. */
  readonly instance: string;
  readonly logger?: Logger;
  readonly metrics?: KubeMetrics | undefined;
  readonly clock?: Clock;
}

/** An event seen before: its repetitions are counted in it. */
interface Series {
  /** Absent until it was created on the server. */
  key: ObjectKey | undefined;
  count: number;
  lastAt: number;
}

/** What is remembered of an object with events; nothing, once it was quiet for {@link quietMs}. */
interface History {
  readonly bucket: TokenBucket;
  readonly series: Map<string, Series>;
  lastAt: number;
}

/** As client-go: a repetition within this time belongs to the series. */
const quietMs = 6 * 60_000;
/** For one object: a burst, then one every five minutes. */
const perObject = { burst: 25, perSecond: 1 / 300 };
const longestQueue = 1000;
const noteBytes = 1024;

/** Writes events.k8s.io/v1 in the background: a repeated event raises its series count, a flood is dropped and counted, a failure is only logged. */
export class EventRecorder {
  readonly #client: KubeClient;
  readonly #options: EventRecorderOptions;
  readonly #logger: Logger;
  readonly #clock: Clock;
  /** By uid. */
  readonly #histories = new Map<string, History>();
  #clearedAt = -Infinity;
  readonly #queue: (() => Promise<void>)[] = [];
  #sending: Promise<void> | undefined;

  constructor(client: KubeClient, options: EventRecorderOptions) {
    this.#client = client;
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    this.#clock = options.clock ?? systemClock;
  }

  /** Never throws and never waits. */
  record(about: Live, event: EventNote): void {
    const now = this.#clock.now();
    const history = this.#historyOf(about.metadata.uid, now);
    const id = JSON.stringify([event.type, event.reason, event.action, event.note]);
    const before = history.series.get(id);
    const known = before && now - before.lastAt <= quietMs ? before : undefined;
    // a repetition that is not sent still counts in the next that is
    if (known) known.count += 1;
    if (!history.bucket.tryTake() || this.#queue.length >= longestQueue) {
      this.#options.metrics?.events.inc({ outcome: 'dropped' });
      return;
    }
    const at = microTime(this.#clock.date());
    if (known) {
      known.lastAt = now;
      this.#queue.push(() => this.#repeat(known, at));
    } else {
      const series: Series = { key: undefined, count: 1, lastAt: now };
      history.series.set(id, series);
      this.#queue.push(() => this.#create(series, about, event, at));
    }
    this.#sending ??= this.#send();
  }

  /** Waits until what was recorded has been sent, at most `deadlineMs`. */
  async flush(deadlineMs = 2_000): Promise<void> {
    if (!this.#sending) return;
    const over = new AbortController();
    await Promise.race([this.#sending, pause(deadlineMs, over.signal)]);
    over.abort();
  }

  async #send(): Promise<void> {
    for (let next = this.#queue.shift(); next; next = this.#queue.shift()) {
      try {
        await next();
        this.#options.metrics?.events.inc({ outcome: 'sent' });
      } catch (error) {
        this.#options.metrics?.events.inc({ outcome: 'failed' });
        this.#logger.warn({ err: error }, 'event could not be written');
      }
    }
    this.#sending = undefined;
  }

  async #create(series: Series, about: Live, { type, reason, action, note }: EventNote, at: string): Promise<void> {
    const { name, namespace = 'default', uid, resourceVersion } = about.metadata;
    const { apiVersion, kind } = about;
    // names of objects may be as long as names of events may be
    const key = { namespace, name: `${name.slice(0, 200)}.${randomUUID().slice(0, 18).replaceAll('-', '')}` };
    await this.#client.create(events, {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: key,
      type,
      reason,
      action,
      note: cut(note, noteBytes),
      eventTime: at,
      regarding: { apiVersion, kind, name, namespace: about.metadata.namespace, uid, resourceVersion },
      reportingController: this.#options.controller,
      reportingInstance: this.#options.instance,
    });
    series.key = key;
  }

  async #repeat(series: Series, at: string): Promise<void> {
    // its creation failed; the next one after the series' time starts anew
    if (!series.key) return;
    await this.#client.patch(events, series.key, { series: { count: series.count, lastObservedTime: at } });
  }

  #historyOf(uid: string, now: number): History {
    const isOld = ({ lastAt }: History): boolean => now - lastAt > quietMs;
    // with thousands of objects not at every event
    if (now - this.#clearedAt > quietMs) {
      this.#clearedAt = now;
      for (const [other, each] of this.#histories) if (isOld(each)) this.#histories.delete(other);
    }
    const known = this.#histories.get(uid);
    const history = (known && !isOld(known) ? known : undefined) ?? {
      bucket: new TokenBucket(this.#clock, perObject.perSecond, perObject.burst),
      series: new Map<string, Series>(),
      lastAt: now,
    };
    history.lastAt = now;
    this.#histories.set(uid, history);
    return history;
  }
}

/** The longest beginning that fits, without half a character at the end. */
function cut(text: string, bytes: number): string {
  const buffer = Buffer.from(text);
  if (buffer.length <= bytes) return text;
  return buffer
    .subarray(0, bytes - 3)
    .toString('utf8')
    .replace(/\uFFFD+$/, '')
    .concat('…');
}
