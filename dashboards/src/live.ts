// SPDX-License-Identifier: Apache-2.0
// The list of alerts and what the live stream may do to it. The rule: rows that are shown keep their place; an alert that is shown is
// updated where it stands, one that is not waits behind the "n new" bar. Changes carry growing numbers, so old news never overwrites newer.
import type { Alert, AlertPage } from './types';

export interface LiveList {
  readonly rows: readonly Alert[];
  readonly index: ReadonlyMap<string, number>; // id -> place in rows
  readonly waiting: ReadonlyMap<string, Alert>; // by id; never also in rows
  readonly change: bigint; // everything up to here is in the list
  readonly next: string | null;
}

export const MAX_WAITING = 10_000; // beyond it the bar says "10,000+" and the page is simply loaded anew

export const changeOf = (value: string | number): bigint => {
  try {
    return BigInt(value);
  } catch {
    return 0n;
  }
};

const indexOf = (rows: readonly Alert[]): Map<string, number> => new Map(rows.map((row, i) => [row.id, i]));

export const emptyList: LiveList = { rows: [], index: new Map(), waiting: new Map(), change: 0n, next: null };

export function loaded(page: AlertPage): LiveList {
  return { rows: page.alerts, index: indexOf(page.alerts), waiting: new Map(), change: changeOf(page.change), next: page.next };
}

/** A further page from a cursor. What waited and is in it stops waiting; what is already shown is not shown twice. */
export function appended(list: LiveList, page: AlertPage): LiveList {
  const more = page.alerts.filter((alert) => !list.index.has(alert.id));
  const rows = [...list.rows, ...more];
  const waiting = new Map(list.waiting);
  for (const alert of more) waiting.delete(alert.id);
  return { ...list, rows, index: indexOf(rows), waiting, next: page.next };
}

/** One alert from the stream, or from the answer to an action. `wanted`: it belongs to the filter. */
export function applied(list: LiveList, alert: Alert, wanted: boolean): LiveList {
  const change = changeOf(alert.change);
  const place = list.index.get(alert.id);
  if (place !== undefined) {
    const shown = list.rows[place];
    if (!shown || changeOf(shown.change) >= change) return list;
    const rows = [...list.rows];
    rows[place] = alert;
    return { ...list, rows };
  }
  const known = list.waiting.get(alert.id);
  if (known ? changeOf(known.change) >= change : change <= list.change) return list;
  if (!wanted && !known) return list;
  const waiting = new Map(list.waiting);
  if (wanted && waiting.size < MAX_WAITING) waiting.set(alert.id, alert);
  else waiting.delete(alert.id);
  return { ...list, waiting };
}

/** Only the server can tell which of these belong to a search for words; it was asked, and this is its answer. */
export function settled(list: LiveList, asked: ReadonlySet<string>, answer: readonly Alert[]): LiveList {
  const waiting = new Map(list.waiting);
  const found = new Map(answer.map((alert) => [alert.id, alert]));
  for (const id of asked) {
    const alert = found.get(id);
    if (alert && !list.index.has(id)) waiting.set(id, alert);
    else waiting.delete(id);
  }
  return { ...list, waiting };
}

/** Selection survives a reload: ids that are gone from the list drop out of it. */
export function keptSelection(selection: ReadonlySet<string>, list: LiveList): Set<string> {
  return new Set([...selection].filter((id) => list.index.has(id)));
}

/** The id `step` places away from `id`, inside the list; from nowhere, the first. */
export function neighbour(ids: readonly string[], id: string | null, step: 1 | -1): string | null {
  const place = id === null ? -1 : ids.indexOf(id);
  const target = place < 0 ? 0 : Math.min(ids.length - 1, Math.max(0, place + step));
  return ids[target] ?? null;
}
