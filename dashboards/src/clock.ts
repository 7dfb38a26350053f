// SPDX-License-Identifier: Apache-2.0
// Time as signals: `second` for what must be noticed soon (stale data), `now` for ages in lists.
import { signal } from '@preact/signals';

export const second = signal(Date.now());
export const now = signal(new Date());

export function startClock(): void {
  setInterval(() => (second.value = Date.now()), 1_000);
  setInterval(() => (now.value = new Date()), 10_000);
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) return;
    second.value = Date.now();
    now.value = new Date();
  });
}
