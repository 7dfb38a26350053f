// SPDX-License-Identifier: Apache-2.0
// Short messages in a corner: what was done, with "undo" for some seconds, and what failed. The clock of a message stands still while the
// pointer or the focus is on it, so that nobody has to hurry.
import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { t } from '../i18n';
import { useActions } from '../keys';
import { Icon } from './icon';

interface Toast {
  id: number;
  text: string;
  bad: boolean;
  undo: (() => void) | null;
  link: { href: string; text: string } | null;
}

const toasts = signal<readonly Toast[]>([]);
const MAX = 4;
const LIFE_MS = 10_000;
let nextId = 1;

export function toast(text: string, options: { bad?: boolean; undo?: () => void; link?: { href: string; text: string } } = {}): void {
  const entry = { id: nextId++, text, bad: options.bad ?? false, undo: options.undo ?? null, link: options.link ?? null };
  toasts.value = [...toasts.value, entry].slice(-MAX);
}

const dismiss = (id: number): void => void (toasts.value = toasts.value.filter((entry) => entry.id !== id));

function ToastView({ entry }: { entry: Toast }) {
  const timer = useRef<ReturnType<typeof setTimeout>>();
  const run = (): void => {
    clearTimeout(timer.current);
    timer.current = setTimeout(() => dismiss(entry.id), LIFE_MS);
  };
  const hold = (): void => clearTimeout(timer.current);
  useEffect(() => {
    run();
    return hold;
  }, []);
  return (
    <div class={entry.bad ? 'toast toast-bad' : 'toast'} onPointerEnter={hold} onPointerLeave={run} onFocusIn={hold} onFocusOut={run}>
      <Icon name={entry.bad ? 'warn' : 'check'} />
      <span>{entry.text}</span>
      {entry.link ? <a href={entry.link.href}>{entry.link.text}</a> : null}
      {entry.undo ? (
        <button type="button" class="button button-small" onClick={() => undo(entry)}>
          <Icon name="undo" />
          {t('undo')}
        </button>
      ) : null}
      <button type="button" class="icon-button" aria-label={t('toast.dismiss')} onClick={() => dismiss(entry.id)}>
        <Icon name="cross" />
      </button>
    </div>
  );
}

function undo(entry: Toast): void {
  dismiss(entry.id);
  entry.undo?.();
}

export function Toasts() {
  const newestUndo = [...toasts.value].reverse().find((entry) => entry.undo);
  useActions(newestUndo ? { undo: () => undo(newestUndo) } : {});
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map((entry) => (
        <ToastView key={entry.id} entry={entry} />
      ))}
    </div>
  );
}
