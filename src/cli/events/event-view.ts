import type { Event } from '../../kube/resources.ts';

/** An event as people look at it; the same one, written several times, is one. */
export interface EventView {
  readonly type: string;
  readonly reason: string;
  readonly kind: string;
  readonly name: string;
  readonly message: string;
  /** How often it was seen. */
  readonly count: number;
  readonly firstAt: string;
  readonly lastAt: string;
}

/** Those of the older API have no eventTime, whatever their type says. */
type AnyEvent = Omit<Event, 'eventTime'> & { readonly eventTime?: string | null };

export function eventView(event: AnyEvent): EventView {
  const { series, metadata, regarding } = event;
  const createdAt = metadata?.creationTimestamp ?? new Date(0).toISOString();
  const firstAt = event.deprecatedFirstTimestamp ?? event.eventTime ?? createdAt;
  return {
    type: event.type ?? 'Normal',
    reason: event.reason ?? '',
    kind: regarding?.kind ?? '',
    name: regarding?.name ?? '',
    message: event.note ?? '',
    count: series?.count ?? event.deprecatedCount ?? 1,
    firstAt,
    lastAt: series?.lastObservedTime ?? event.deprecatedLastTimestamp ?? event.eventTime ?? firstAt,
  };
}

/** What was said several times of one object becomes one, and all are ordered by when they were last seen, the newest last. */
export function merged(events: readonly EventView[]): readonly EventView[] {
  const byWords = Map.groupBy(events, ({ type, reason, kind, name, message }) => JSON.stringify([type, reason, kind, name, message]));
  const time = (text: string): number => Date.parse(text);
  return [...byWords.values()]
    .flatMap((same) => {
      const [first] = same;
      if (!first) return [];
      return {
        ...first,
        count: same.reduce((sum, { count }) => sum + count, 0),
        firstAt: same.map(({ firstAt }) => firstAt).reduce((a, b) => (time(a) <= time(b) ? a : b)),
        lastAt: same.map(({ lastAt }) => lastAt).reduce((a, b) => (time(a) >= time(b) ? a : b)),
      };
    })
    .sort((a, b) => time(a.lastAt) - time(b.lastAt));
}
