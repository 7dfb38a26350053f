// SPDX-License-Identifier: Apache-2.0
// Two dictionaries with the same keys; the type of one is taken from the other, and a test compares keys and placeholders. Reading t() in a
// component subscribes it to the language, so a switch redraws everything at once without a reload.
import { signal } from '@preact/signals';
import { en } from './en';
import { vi } from './vi';

export type Lang = 'vi' | 'en';
export type Key = keyof typeof vi;
export const dictionaries: Record<Lang, Record<Key, string>> = { vi, en };

export const lang = signal<Lang>('vi');

/** {name} is replaced; "one|many" is chosen by {n} (Vietnamese has no plural and no bar). */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  const forms = dictionaries[lang.value][key].split('|');
  const text = forms.length > 1 && Number(values['n']) !== 1 ? (forms[1] ?? '') : (forms[0] ?? '');
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => (name in values ? String(values[name]) : whole));
}

/** For keys made from data ("status.new"): the text, or null when the dictionary has no such word. */
export function word(prefix: string, name: string): string | null {
  const key = `${prefix}.${name}`;
  return Object.hasOwn(vi, key) ? t(key as Key) : null;
}

/** A title in the reader's language where the rule's author wrote one. */
export const localTitle = (rule: { title: string; title_vi?: string | null }): string =>
  lang.value === 'vi' && rule.title_vi ? rule.title_vi : rule.title;
