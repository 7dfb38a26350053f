// SPDX-License-Identifier: Apache-2.0
// Numbers, sizes and times for people. Times come as RFC 3339 UTC, possibly with nanoseconds, and are shown in the browser's zone.
import { lang } from './i18n';

const cache = new Map<string, Intl.DateTimeFormat | Intl.NumberFormat | Intl.RelativeTimeFormat>();
const cached = <T extends Intl.DateTimeFormat | Intl.NumberFormat | Intl.RelativeTimeFormat>(key: string, make: (locale: string) => T): T => {
  const locale = lang.value === 'vi' ? 'vi-VN' : 'en-GB';
  const full = `${locale} ${key}`;
  let found = cache.get(full);
  if (!found) cache.set(full, (found = make(locale)));
  return found as T;
};

export const number = (value: number | string, digits = 0): string =>
  cached(`n${digits}`, (l) => new Intl.NumberFormat(l, { maximumFractionDigits: digits })).format(
    typeof value === 'string' && /^-?\d{16,}$/.test(value) ? BigInt(value) : Number(value),
  );

export function bytes(value: number | string): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let size = Number(value);
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit++;
  }
  return `${number(size, size < 10 && unit > 0 ? 1 : 0)} ${units[unit]}`;
}

const twoDigits = { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false } as const;
export const parseTime = (iso: string): Date | null => {
  const date = new Date(iso.replace(/(\.\d{3})\d+/, '$1')); // nanoseconds: a Date holds three digits
  return Number.isNaN(date.getTime()) ? null : date;
};

// Day, month, year with strokes in both languages: the browsers' own Vietnamese has dashes without a year and strokes with one.
const dayMonth = (date: Date): string => `${String(date.getDate()).padStart(2, '0')}/${String(date.getMonth() + 1).padStart(2, '0')}`;

/** "17:03:22" today, "22/11 17:03:22" this year, with the year before that. */
export function shortTime(date: Date, now: Date): string {
  const sameDay = date.toDateString() === now.toDateString();
  const sameYear = date.getFullYear() === now.getFullYear();
  if (sameDay) return cached('t', (l) => new Intl.DateTimeFormat(l, twoDigits)).format(date);
  return `${sameYear ? dayMonth(date) : `${dayMonth(date)}/${date.getFullYear()}`} ${cached('t', (l) => new Intl.DateTimeFormat(l, twoDigits)).format(date)}`;
}

/** Date, time and zone, as in "23/11/2026 17:03:22 GMT+7". */
export function fullTime(date: Date): string {
  const time = cached('t', (l) => new Intl.DateTimeFormat(l, twoDigits)).format(date);
  return `${dayMonth(date)}/${date.getFullYear()} ${time} ${zoneName(date)}`;
}

export const zoneName = (date: Date): string =>
  cached('z', (l) => new Intl.DateTimeFormat(l, { timeZoneName: 'shortOffset' }))
    .formatToParts(date)
    .find((part) => part.type === 'timeZoneName')?.value ?? 'UTC';

const steps: [Intl.RelativeTimeFormatUnit, number][] = [
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
  ['second', 1],
];

/** "3 minutes ago", "in 2 days". */
export function relative(date: Date, now: Date): string {
  const seconds = Math.round((date.getTime() - now.getTime()) / 1000);
  const [unit, size] = steps.find(([, s]) => Math.abs(seconds) >= s) ?? (['second', 1] as const);
  return cached('r', (l) => new Intl.RelativeTimeFormat(l, { numeric: 'auto' })).format(Math.trunc(seconds / size), unit);
}

const unitName = { day: 'day', hour: 'hour', minute: 'minute', second: 'second' } as const;
const unit = (name: keyof typeof unitName, value: number): string =>
  cached(`u${name}`, (l) => new Intl.NumberFormat(l, { style: 'unit', unit: name, unitDisplay: name === 'day' ? 'long' : 'short' })).format(value);

/** A length of time in its largest unit: "3 phút", "2 ngày". Never negative. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole >= 86_400) return unit('day', Math.floor(whole / 86_400));
  if (whole >= 3_600) return unit('hour', Math.floor(whole / 3_600));
  if (whole >= 60) return unit('minute', Math.floor(whole / 60));
  return unit('second', whole);
}
