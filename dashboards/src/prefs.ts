// SPDX-License-Identifier: Apache-2.0
// What this browser remembers: language, theme, single keys. Nothing that belongs to the data. ?lang=vi or ?lang=en wins and is remembered.
// public/theme.js applies theme and language before the first paint; keep the two in step.
import { effect, signal } from '@preact/signals';
import { lang } from './i18n';

export type Theme = 'system' | 'light' | 'dark';
export const theme = signal<Theme>('system');
export const singleKeys = signal(true);

const read = (key: string): string | null => {
  try {
    return localStorage.getItem(`vonggac.${key}`);
  } catch {
    return null; // storage is forbidden: defaults, for this visit only
  }
};
const write = (key: string, value: string): void => {
  try {
    localStorage.setItem(`vonggac.${key}`, value);
  } catch {
    // as above
  }
};

export function startPrefs(): void {
  const asked = new URLSearchParams(location.search).get('lang');
  const storedLang = asked === 'vi' || asked === 'en' ? asked : read('lang');
  if (storedLang === 'en' || storedLang === 'vi') lang.value = storedLang;
  const storedTheme = read('theme');
  if (storedTheme === 'light' || storedTheme === 'dark') theme.value = storedTheme;
  singleKeys.value = read('keys') !== 'off';
  effect(() => {
    document.documentElement.lang = lang.value;
    write('lang', lang.value);
  });
  effect(() => {
    if (theme.value === 'system') delete document.documentElement.dataset['theme'];
    else document.documentElement.dataset['theme'] = theme.value;
    write('theme', theme.value);
  });
  effect(() => write('keys', singleKeys.value ? 'on' : 'off'));
}
