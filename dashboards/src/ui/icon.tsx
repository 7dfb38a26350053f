// SPDX-License-Identifier: Apache-2.0
// Icons as SVG paths on a 16-unit grid. They are decoration: the word beside them, or the label of the button, says the same.
import type { Level } from '../types';

const paths = {
  level4: 'M5.2 1.5h5.6l3.7 3.7v5.6l-3.7 3.7H5.2l-3.7-3.7V5.2zM8 4.5v4.2M8 11v.4',
  level3: 'M8 1.8l6.6 12H1.4zM8 6v4M8 11.7v.3',
  level2: 'M8 1.4L14.6 8 8 14.6 1.4 8z',
  level1: 'M8 2.2a5.8 5.8 0 1 0 0 11.6A5.8 5.8 0 0 0 8 2.2z',
  level0: 'M2.5 2.5h11v11h-11zM8 7.2v3.6M8 5v.3',
  alerts: 'M8 1.8a4.2 4.2 0 0 0-4.2 4.2c0 4-1.6 5-1.6 5h11.6s-1.6-1-1.6-5A4.2 4.2 0 0 0 8 1.8zM6.6 13.5a1.5 1.5 0 0 0 2.8 0',
  incidents: 'M3 14.5V2M3 2.8h9.5l-2 3 2 3H3',
  ncsc: 'M8 14.5V8M5.3 10.7a3.8 3.8 0 1 1 5.4 0M3.2 12.8a6.8 6.8 0 1 1 9.6 0M8 8v.1',
  agents: 'M2 3h12v4H2zM2 9h12v4H2zM4.5 5v.1M4.5 11v.1',
  rules: 'M3 2h7.5L13 4.5V14H3zM5.5 6.5h5M5.5 9h5M5.5 11.5h3',
  check: 'M2.8 8.6l3.4 3.4 7-8',
  cross: 'M3.5 3.5l9 9M12.5 3.5l-9 9',
  plus: 'M8 3v10M3 8h10',
  minus: 'M3 8h10',
  pause: 'M5.5 3v10M10.5 3v10',
  play: 'M4.5 2.5v11l8.5-5.5z',
  up: 'M8 13.5v-11M3.5 7L8 2.5 12.5 7',
  down: 'M3.5 6L8 10.5 12.5 6',
  right: 'M6 3.5L10.5 8 6 12.5',
  search: 'M7 2.2a4.8 4.8 0 1 0 0 9.6 4.8 4.8 0 0 0 0-9.6zM10.6 10.6L14 14',
  filter: 'M2 3h12L9.5 8.5v4.3l-3 1.2V8.5z',
  open: 'M9 2.5h4.5V7M13.5 2.5L7.5 8.5M11.5 9.5v4h-9v-9h4',
  user: 'M8 2.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6zM2.8 14a5.2 5.2 0 0 1 10.4 0',
  warn: 'M8 1.8l6.6 12H1.4zM8 6v4M8 11.7v.3',
  clock: 'M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8zM8 4.5V8l2.3 1.8',
  key: 'M1.5 4h13v8h-13zM4 6.5v.1M6.7 6.5v.1M9.3 6.5v.1M12 6.5v.1M5 9.5h6',
  undo: 'M5.5 3L2.5 6l3 3M2.5 6h7a3.7 3.7 0 1 1 0 7.5H6',
  retry: 'M13.2 8A5.2 5.2 0 1 1 11.5 4.1M11.8 1.5v3h-3',
  eye: 'M1.5 8S4 3.5 8 3.5 14.5 8 14.5 8 12 12.5 8 12.5 1.5 8 1.5 8zM8 6.3a1.7 1.7 0 1 0 0 3.4 1.7 1.7 0 0 0 0-3.4z',
  demo: 'M2 3h12v8H2zM5.5 14h5M8 11v3M6.8 5.2v3.6L10 7z',
} as const;

export type IconName = keyof typeof paths;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={paths[name]} />
    </svg>
  );
}

export const levelIcon = (level: Level): IconName => `level${level}` as const;

export function Brand() {
  return (
    <svg class="brand-mark" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <path d="M9 28l3-15h8l3 15M10.6 20h10.8M7.5 13h17l-3.2-5.5H10.7zM16 7.500V3" />
    </svg>
  );
}
