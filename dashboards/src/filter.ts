// SPDX-License-Identifier: Apache-2.0
// What the alerts page shows, as one value that lives in the URL. From it come the API's query and the test whether an alert that
// arrives live belongs to the list. Parsing never fails: what it does not understand falls back to the default.
import type { Alert, AlertStatus, Level } from './types';
import { parseTime } from './format';

export const STATUSES: readonly AlertStatus[] = ['new', 'acknowledged', 'escalated', 'closed'];
export const OPEN_STATUSES: readonly AlertStatus[] = ['new', 'acknowledged', 'escalated'];
export const LEVELS: readonly Level[] = [4, 3, 2, 1, 0];
export const SORTS = ['last', 'level', 'first'] as const;
export const RANGES = { '15m': 900, '1h': 3_600, '4h': 14_400, '24h': 86_400, '7d': 604_800, '30d': 2_592_000 } as const;

export type Sort = (typeof SORTS)[number];
export type RangeName = keyof typeof RANGES;

export interface AlertFilter {
  status: AlertStatus[]; // in the order of STATUSES
  level: Level[]; // empty: every level
  rule: string;
  host: string;
  q: string;
  range: RangeName | ''; // relative to now; excludes from and to
  from: string; // RFC 3339 UTC or ''
  to: string;
  demo: boolean; // demonstrations are shown
  sort: Sort;
  grouped: boolean;
}

export const DEFAULT_FILTER: AlertFilter = {
  status: [...OPEN_STATUSES],
  level: [],
  rule: '',
  host: '',
  q: '',
  range: '',
  from: '',
  to: '',
  demo: true,
  sort: 'last',
  grouped: false,
};

const MAX_TEXT = 1_000;
const same = <T>(a: readonly T[], b: readonly T[]): boolean => a.length === b.length && a.every((value, i) => value === b[i]);

export function parseFilter(params: URLSearchParams): AlertFilter {
  const text = (key: string): string => (params.get(key) ?? '').slice(0, MAX_TEXT);
  const time = (key: string): string => {
    const date = parseTime(text(key));
    return date ? date.toISOString() : '';
  };
  const statusText = text('status');
  const asked = statusText.split(',');
  const status = statusText === 'all' ? [...STATUSES] : STATUSES.filter((s) => asked.includes(s));
  const levels = text('level').split(',');
  const range = text('range');
  const isRange = Object.hasOwn(RANGES, range);
  const sort = text('sort');
  return {
    status: status.length > 0 ? status : [...OPEN_STATUSES],
    level: LEVELS.filter((l) => levels.includes(String(l))),
    rule: text('rule'),
    host: text('host'),
    q: text('q').trim(),
    range: isRange ? (range as RangeName) : '',
    from: isRange ? '' : time('from'),
    to: isRange ? '' : time('to'),
    demo: text('demo') !== '0',
    sort: SORTS.includes(sort as Sort) ? (sort as Sort) : 'last',
    grouped: text('view') === 'groups',
  };
}

/** The shortest query string that parses to this filter again. */
export function filterParams(filter: AlertFilter): URLSearchParams {
  const params = new URLSearchParams();
  if (same(filter.status, STATUSES)) params.set('status', 'all');
  else if (!same(filter.status, OPEN_STATUSES)) params.set('status', filter.status.join(','));
  if (filter.level.length > 0) params.set('level', filter.level.join(','));
  for (const key of ['rule', 'host', 'q', 'range', 'from', 'to'] as const) if (filter[key] !== '') params.set(key, filter[key]);
  if (!filter.demo) params.set('demo', '0');
  if (filter.sort !== 'last') params.set('sort', filter.sort);
  if (filter.grouped) params.set('view', 'groups');
  return params;
}

/** What GET /api/alerts is asked. */
export function apiQuery(filter: AlertFilter, now: Date): Record<string, string> {
  const query: Record<string, string> = { status: same(filter.status, STATUSES) ? 'all' : filter.status.join(',') };
  if (filter.level.length > 0) query['level'] = filter.level.join(',');
  for (const key of ['rule', 'host', 'q', 'from', 'to'] as const) if (filter[key] !== '') query[key] = filter[key];
  if (filter.range) query['from'] = new Date(now.getTime() - RANGES[filter.range] * 1000).toISOString();
  if (!filter.demo) query['demo'] = '0';
  if (filter.sort !== 'last') query['sort'] = filter.sort;
  return query;
}

/** Whether an alert belongs to the filter: 'ask' when only the server can say, because words are searched for in whole events. */
export function belongs(filter: AlertFilter, alert: Alert, now: Date): boolean | 'ask' {
  if (!filter.status.includes(alert.status)) return false;
  if (filter.level.length > 0 && !filter.level.includes(alert.rule.level)) return false;
  if (filter.rule && alert.rule.id !== filter.rule) return false;
  if (filter.host && alert.host !== filter.host) return false;
  if (!filter.demo && alert.demo) return false;
  const last = parseTime(alert.last)?.getTime() ?? 0;
  if (filter.range && last < now.getTime() - RANGES[filter.range] * 1000) return false;
  if (filter.from && last < Date.parse(filter.from)) return false;
  if (filter.to && last > Date.parse(filter.to)) return false;
  return filter.q === '' ? true : 'ask';
}

/** Toggles one value of a list facet, keeping the canonical order; an empty status list would show nothing, so it means "open" again. */
export function toggle<T>(all: readonly T[], chosen: readonly T[], value: T): T[] {
  return all.filter((v) => (v === value ? !chosen.includes(v) : chosen.includes(v)));
}

/** `field:value` (or `-field:value`) as the API's query language writes it, quoted when it must be. */
export function term(field: string, value: string, exclude = false): string {
  const plainValue = /^[^\s"\\]+$/.test(value);
  const quoted = plainValue ? value : `"${value.replace(/[\\"]/g, '\\$&')}"`;
  return `${exclude ? '-' : ''}${field}:${quoted}`;
}

/** Adds a term to a query unless it is there; its opposite is taken out. */
export function addTerm(q: string, field: string, value: string, exclude: boolean): string {
  const wanted = term(field, value, exclude);
  const opposite = term(field, value, !exclude);
  const terms = splitTerms(q).filter((part) => part !== opposite && part !== wanted);
  return [...terms, wanted].join(' ');
}

/** Cuts a query at spaces outside quotes. */
export function splitTerms(q: string): string[] {
  const out: string[] = [];
  let part = '';
  let quoted = false;
  for (let i = 0; i < q.length; i++) {
    const char = q.charAt(i);
    if (quoted && char === '\\') {
      part += char + q.charAt(++i);
    } else if (char === '"') {
      quoted = !quoted;
      part += char;
    } else if (!quoted && /\s/.test(char)) {
      if (part) out.push(part);
      part = '';
    } else {
      part += char;
    }
  }
  if (part) out.push(part);
  return out;
}
