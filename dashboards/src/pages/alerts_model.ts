// SPDX-License-Identifier: Apache-2.0
// The state behind the alerts page: the list of live.ts, fed by loads and by the stream. What it adds is time: loads that overtake each
// other, alerts that arrive while a load is under way, and the rare question to the server when only it can tell what belongs to the filter.
import { batch, computed, signal } from '@preact/signals';
import { ApiError, get } from '../api';
import { apiQuery, belongs, type AlertFilter } from '../filter';
import { appended, applied, changeOf, emptyList, keptSelection, loaded, settled, type LiveList } from '../live';
import { noteChange, onStream } from '../stream';
import type { Alert, AlertGroup, AlertPage, Facets } from '../types';

const PAGE = 100;
const MOST = 500; // of the API, for one answer
export const MOST_ROWS = 2_000; // beyond it a narrower filter helps more than more rows
const COUNTS_MS = 2_000; // counts follow the stream at this distance

export type GroupKey = string;
export const groupKey = (group: { rule_id: string; host: string }): GroupKey => `${group.rule_id}\n${group.host}`;
const alertGroupKey = (alert: Alert): GroupKey => `${alert.rule.id}\n${alert.host}`;

export class AlertsModel {
  readonly list = signal<LiveList>(emptyList);
  readonly total = signal(0);
  readonly facets = signal<Facets | null>(null);
  readonly groups = signal<readonly AlertGroup[]>([]);
  readonly expanded = signal<ReadonlySet<GroupKey>>(new Set());
  readonly loadingGroups = signal<ReadonlySet<GroupKey>>(new Set());
  readonly phase = signal<'loading' | 'ready' | 'failed'>('loading');
  readonly error = signal<unknown>(null);
  readonly loadingMore = signal(false);
  readonly paused = signal(false);
  readonly selection = signal<ReadonlySet<string>>(new Set());
  readonly current = signal<string | null>(null); // an alert's id, or "g" + key of a group
  readonly fresh = signal<ReadonlySet<string>>(new Set()); // rows that the last "show new" brought

  readonly waitingCount = computed(() => this.list.value.waiting.size);

  /** Alerts by group, in the list's order. */
  readonly byGroup = computed(() => {
    const out = new Map<GroupKey, Alert[]>();
    for (const alert of this.list.value.rows) {
      const key = alertGroupKey(alert);
      const rows = out.get(key);
      if (rows) rows.push(alert);
      else out.set(key, [alert]);
    }
    return out;
  });

  /** What j and k walk over, top to bottom. */
  readonly stops = computed<readonly string[]>(() => {
    if (!this.filter?.grouped) return this.list.value.rows.map((row) => row.id);
    return this.groups.value.flatMap((group) => {
      const key = groupKey(group);
      const inside = this.expanded.value.has(key) ? (this.byGroup.value.get(key) ?? []).map((row) => row.id) : [];
      return [`g${key}`, ...inside];
    });
  });

  private filter: AlertFilter | null = null;
  private run = 0; // the newest load; answers of older ones are thrown away
  private request: AbortController | null = null;
  private early: Alert[] = []; // from the stream, while a load is under way
  private asked = new Set<string>(); // only the server can tell whether these belong
  private countsTimer: ReturnType<typeof setTimeout> | undefined;
  private lastSelected: string | null = null; // where a selection with Shift begins
  private subscriptions: (() => void)[] = [];

  start(): () => void {
    this.subscriptions = [onStream('alert', (alert) => this.receive(alert)), onStream('reset', () => void this.showNew(true))];
    return () => {
      for (const end of this.subscriptions) end();
      clearTimeout(this.countsTimer);
      this.request?.abort();
      this.run++;
    };
  }

  /** Another filter: everything anew. The same filter: order may change, selection and the current row stay. */
  async load(filter: AlertFilter, options: { keep?: boolean; background?: boolean } = {}): Promise<void> {
    const run = ++this.run;
    this.request?.abort();
    this.request = new AbortController();
    this.filter = filter;
    this.early = [];
    this.asked.clear();
    clearTimeout(this.countsTimer);
    const before = this.list.value;
    if (!options.keep) {
      batch(() => {
        this.phase.value = 'loading';
        this.list.value = emptyList;
        this.groups.value = [];
        this.expanded.value = new Set();
        this.fresh.value = new Set();
        this.selection.value = new Set();
        this.current.value = null;
      });
    }
    const limit = filter.grouped ? 1 : options.keep ? Math.min(MOST, Math.max(PAGE, before.rows.length + before.waiting.size)) : PAGE;
    const query = { ...apiQuery(filter, new Date()), limit: String(limit), ...(filter.grouped ? { group: '1' } : {}) };
    try {
      const page = await get<AlertPage>('/api/alerts', { query, signal: this.request.signal, ...(options.background ? { background: true } : {}) });
      if (run !== this.run) return;
      noteChange(page.change);
      batch(() => {
        const shown = filter.grouped ? { ...page, alerts: [], next: null } : page;
        this.list.value = loaded(shown);
        this.fresh.value = options.keep ? new Set(page.alerts.filter((alert) => !before.index.has(alert.id)).map((alert) => alert.id)) : new Set();
        this.selection.value = keptSelection(this.selection.value, this.list.value);
        this.takeCounts(page);
        this.phase.value = 'ready';
        this.error.value = null;
        for (const alert of this.early) this.place(alert);
        this.early = [];
      });
      if (filter.grouped) for (const key of this.expanded.value) void this.loadGroup(key, options.background ?? false);
    } catch (error) {
      if (run !== this.run || (error instanceof ApiError && error.code === 'aborted')) return;
      this.error.value = error;
      if (!options.keep) this.phase.value = 'failed';
    }
  }

  /** The next page at the end of the list. */
  async more(): Promise<void> {
    const { next } = this.list.value;
    if (!this.filter || next === null || this.loadingMore.value) return;
    const run = this.run;
    this.loadingMore.value = true;
    try {
      const page = await get<AlertPage>('/api/alerts', { query: { ...apiQuery(this.filter, new Date()), limit: PAGE, cursor: next } });
      if (run === this.run) this.list.value = appended(this.list.value, page);
    } catch (error) {
      if (run === this.run) this.error.value = error;
    } finally {
      this.loadingMore.value = false;
    }
  }

  /** Brings in what waits. */
  async showNew(background = false): Promise<void> {
    if (this.filter) await this.load(this.filter, { keep: true, background });
  }

  pause(): void {
    this.paused.value = true;
  }

  async resume(): Promise<void> {
    this.paused.value = false;
    await this.showNew();
  }

  toggleGroup(key: GroupKey): void {
    const expanded = new Set(this.expanded.value);
    if (!expanded.delete(key)) {
      expanded.add(key);
      if (!this.byGroup.value.has(key)) void this.loadGroup(key, false);
    }
    this.expanded.value = expanded;
  }

  /** Loads a group's alerts (at most 500) and returns them. */
  async loadGroup(key: GroupKey, background: boolean): Promise<readonly Alert[]> {
    const group = this.groups.value.find((g) => groupKey(g) === key);
    if (!this.filter || !group) return [];
    const run = this.run;
    this.loadingGroups.value = new Set([...this.loadingGroups.value, key]);
    try {
      const query = { ...apiQuery(this.filter, new Date()), rule: group.rule_id, host: group.host, limit: MOST };
      const page = await get<AlertPage>('/api/alerts', { query, ...(background ? { background: true } : {}) });
      if (run === this.run) this.list.value = { ...appended(this.list.value, page), next: null };
    } catch (error) {
      if (run === this.run) this.error.value = error;
    } finally {
      const loading = new Set(this.loadingGroups.value);
      loading.delete(key);
      this.loadingGroups.value = loading;
    }
    return this.byGroup.value.get(key) ?? [];
  }

  select(ids: readonly string[], on: boolean): void {
    const next = new Set(this.selection.value);
    for (const id of ids) {
      if (on) next.add(id);
      else next.delete(id);
    }
    this.selection.value = next;
  }

  /** The same functions for every row and for ever, so that a row is drawn again only when it itself changed. */
  readonly setCurrent = (id: string): void => void (this.current.value = id);
  readonly onSelect = (id: string, on: boolean, range: boolean): void => {
    const ids = this.list.value.rows.map((row) => row.id);
    const from = this.lastSelected === null ? -1 : ids.indexOf(this.lastSelected);
    const to = ids.indexOf(id);
    this.select(range && from >= 0 ? ids.slice(Math.min(from, to), Math.max(from, to) + 1) : [id], on);
    this.lastSelected = id;
  };

  alert(id: string): Alert | null {
    const place = this.list.value.index.get(id);
    return place === undefined ? null : (this.list.value.rows[place] ?? null);
  }

  get selected(): readonly Alert[] {
    return this.list.value.rows.filter((row) => this.selection.value.has(row.id));
  }

  private receive(alert: Alert): void {
    const shown = this.list.value.index.has(alert.id);
    if (this.paused.value && !shown) return;
    if (this.phase.value === 'loading') this.early.push(alert);
    else this.place(alert);
  }

  private place(alert: Alert): void {
    if (!this.filter) return;
    const answer = belongs(this.filter, alert, new Date());
    const list = this.list.value;
    if (answer === 'ask' && !list.index.has(alert.id) && changeOf(alert.change) > list.change) this.asked.add(alert.id);
    else this.list.value = applied(list, alert, answer === true);
    this.followCounts();
  }

  private takeCounts(page: AlertPage): void {
    this.total.value = page.total;
    this.facets.value = page.facets;
    if (page.groups) this.groups.value = page.groups;
  }

  /** Asks for the counts again, once things have been quiet for a moment; with a search for words, also what of the new belongs. */
  private followCounts(): void {
    this.countsTimer ??= setTimeout(() => {
      this.countsTimer = undefined;
      void this.refreshCounts();
    }, this.list.value.rows.length === 0 && !this.filter?.grouped ? 50 : COUNTS_MS);
  }

  private async refreshCounts(): Promise<void> {
    const filter = this.filter;
    if (!filter) return;
    const nothingShown = filter.grouped ? this.groups.value.length === 0 : this.list.value.rows.length === 0;
    if (nothingShown) return this.showNew(true); // an empty list has no order to keep
    const run = this.run;
    const asked = new Set(this.asked);
    try {
      const limit = asked.size > 0 ? MOST : 1;
      const page = await get<AlertPage>('/api/alerts', { query: { ...apiQuery(filter, new Date()), limit }, background: true });
      if (run !== this.run) return;
      batch(() => {
        this.total.value = page.total;
        this.facets.value = page.facets;
        for (const id of asked) this.asked.delete(id);
        if (asked.size > 0) this.list.value = settled(this.list.value, asked, page.alerts);
      });
    } catch {
      // counts are a convenience: the next event asks again
    }
  }
}
