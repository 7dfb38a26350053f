// SPDX-License-Identifier: Apache-2.0
/// <reference types="vite/client" />
import { afterEach, describe, expect, it } from 'vitest';
import { dictionaries, lang, localTitle, t, word, type Key } from '../src/i18n';

afterEach(() => void (lang.value = 'vi'));

const placeholders = (text: string): string[] => [...new Set(text.match(/\{\w+\}/g) ?? [])].sort();

describe('dictionaries', () => {
  const { vi, en } = dictionaries;
  it('have the same keys', () => expect(Object.keys(en).sort()).toEqual(Object.keys(vi).sort()));
  it('fill in the same values', () => {
    for (const key of Object.keys(vi) as Key[]) for (const form of en[key].split('|')) expect([key, placeholders(form)]).toEqual([key, placeholders(vi[key])]);
  });
  it('have no empty text and at most two forms', () => {
    for (const [key, text] of [...Object.entries(vi), ...Object.entries(en)]) {
      expect(text.trim(), key).toBe(text);
      expect(text.split('|').every(Boolean), key).toBe(true);
      expect(text.split('|').length, key).toBeLessThanOrEqual(2);
    }
    for (const [key, text] of Object.entries(vi)) expect(text, key).not.toContain('|');
  });
  it('hold no key that nothing uses', () => {
    const files = import.meta.glob<string>('../src/**/*.{ts,tsx}', { query: '?raw', import: 'default', eager: true });
    const sources = Object.entries(files)
      .filter(([name]) => !name.includes('/i18n/'))
      .map(([, text]) => text)
      .join('\n');
    expect(sources).toContain('nav.alerts');
    // Families are looked up by data: word('status', ...) and t(`range.${...}`).
    const families = [...sources.matchAll(/word\('([a-z_]+)'|t\(`([a-z_.]+)\.\$\{/g)].map((match) => match[1] ?? match[2]);
    const unused = Object.keys(vi).filter((key) => !sources.includes(`'${key}'`) && !families.some((family) => key.startsWith(`${family}.`)));
    expect(unused).toEqual([]);
  });
});

describe('t', () => {
  it('speaks Vietnamese unless told otherwise', () => {
    expect(t('nav.alerts')).toBe('Cảnh báo');
    lang.value = 'en';
    expect(t('nav.alerts')).toBe('Alerts');
  });
  it('chooses the plural by n', () => {
    lang.value = 'en';
    expect(t('alerts.total', { n: 1 })).toBe('1 alert');
    expect(t('alerts.total', { n: 0 })).toBe('0 alerts');
    lang.value = 'vi';
    expect(t('alerts.total', { n: 2 })).toBe('2 cảnh báo');
  });
  it('leaves a placeholder without a value, and takes values as they are', () => {
    expect(t('alerts.total')).toBe('{n} cảnh báo');
    expect(t('action.escalated', { number: '$&{number}' })).toBe('Đã tạo sự cố #$&{number}.');
  });
  it('knows only words of the dictionary, not of its prototype', () => {
    expect(word('status', 'new')).toBe('Mới');
    expect(word('status', 'strange')).toBeNull();
    expect(word('', 'constructor')).toBeNull();
  });
  it('shows the Vietnamese title only to readers of Vietnamese, and only where there is one', () => {
    expect(localTitle({ title: 'a', title_vi: 'b' })).toBe('b');
    expect(localTitle({ title: 'a', title_vi: null })).toBe('a');
    lang.value = 'en';
    expect(localTitle({ title: 'a', title_vi: 'b' })).toBe('a');
  });
});
