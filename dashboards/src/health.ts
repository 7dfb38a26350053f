// SPDX-License-Identifier: Apache-2.0
// The collector's own health (GET /api/status, then every 5 s from the stream) and what of it deserves a warning.
import { computed, signal } from '@preact/signals';
import type { Status } from './types';

export const status = signal<Status | null>(null);

/** Drops that happened since this page was opened are news; older ones are history. Names of counters that grew. */
const dropsAtStart = signal<Record<string, number> | null>(null);
export const setStatus = (next: Status): void => {
  dropsAtStart.value ??= Object.fromEntries(Object.entries(next.drops).map(([name, n]) => [name, Number(n)]));
  status.value = next;
};
export const dropsTotal = (s: Status): number => Object.values(s.drops).reduce<number>((sum, n) => sum + Number(n), 0);
export const dropsGrew = computed(() =>
  Object.entries(status.value?.drops ?? {}).some(([name, n]) => Number(n) > (dropsAtStart.value?.[name] ?? 0)),
);

export const DISK_DAYS_WARN = 14;
export const LAG_WARN_EVENTS = 10_000;
