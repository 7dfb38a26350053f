// SPDX-License-Identifier: Apache-2.0
import { afterEach, describe, expect, it } from 'vitest';
import { bytes, duration, fullTime, number, parseTime, relative, shortTime } from '../src/format';
import { lang } from '../src/i18n';

afterEach(() => void (lang.value = 'vi'));
const local = (y: number, mo: number, d: number, h = 0, mi = 0, s = 0): Date => new Date(y, mo - 1, d, h, mi, s);

describe('numbers', () => {
  it('are written as the reader writes them', () => {
    expect(number(1234567)).toBe('1.234.567');
    expect(number(0.25, 1)).toBe('0,3');
    lang.value = 'en';
    expect(number(1234567)).toBe('1,234,567');
  });
  it('beyond 2^53 are exact', () => expect(number('9007199254740993')).toBe('9.007.199.254.740.993'));
  it('of bytes carry a unit', () => {
    expect(bytes(0)).toBe('0 B');
    expect(bytes(1536)).toBe('1,5 KiB');
    expect(bytes('81604378624')).toBe('76 GiB');
  });
});

describe('times', () => {
  it('come with nanoseconds', () => {
    expect(parseTime('2026-11-23T10:00:00.123456789Z')?.getTime()).toBe(Date.UTC(2026, 10, 23, 10, 0, 0, 123));
    expect(parseTime('rubbish')).toBeNull();
  });
  it('are as short as can be without doubt', () => {
    const now = local(2026, 11, 23, 18);
    expect(shortTime(local(2026, 11, 23, 7, 5, 9), now)).toBe('07:05:09');
    expect(shortTime(local(2026, 11, 2, 7, 5, 9), now)).toBe('02/11 07:05:09');
    expect(shortTime(local(2025, 11, 23, 0, 0, 0), now)).toBe('23/11/2025 00:00:00');
  });
  it('in full carry the zone', () => expect(fullTime(local(2026, 1, 2, 3, 4, 5))).toMatch(/^02\/01\/2026 03:04:05 (GMT|UTC)/));
  it('are told relative to now', () => {
    const now = local(2026, 11, 23, 18);
    expect(relative(local(2026, 11, 23, 17, 57), now)).toBe('3 phút trước');
    lang.value = 'en';
    expect(relative(local(2026, 11, 23, 17, 57), now)).toBe('3 minutes ago');
    expect(relative(local(2026, 11, 25, 18), now)).toBe('in 2 days');
  });
  it('last in their largest unit', () => {
    expect(duration(-5)).toBe('0 giây');
    expect(duration(59)).toBe('59 giây');
    expect(duration(185)).toBe('3 phút');
    expect(duration(7_200)).toBe('2 giờ');
    expect(duration(200_000)).toBe('2 ngày');
  });
});
