// SPDX-License-Identifier: Apache-2.0
// Keyboard: which key means what, as a pure function, and one listener. Pages say what they can do with `useActions`; a key whose action
// nobody offers does nothing. Keys never fire while someone types, while a dialog is open, or (Escape apart) when switched off.
import { useEffect, useRef } from 'preact/hooks';
import { singleKeys } from './prefs';

export const ACTIONS = {
  j: 'next',
  k: 'previous',
  x: 'select',
  a: 'acknowledge',
  c: 'close',
  e: 'escalate',
  z: 'undo',
  n: 'show_new',
  p: 'pause',
  '/': 'search',
  '?': 'help',
  Enter: 'open',
  Escape: 'dismiss',
} as const;

export const GOTO = { a: 'go_alerts', i: 'go_incidents', n: 'go_ncsc', t: 'go_agents', r: 'go_rules' } as const;

export type Action = (typeof ACTIONS)[keyof typeof ACTIONS] | (typeof GOTO)[keyof typeof GOTO];

export interface KeyPress {
  key: string;
  modified: boolean; // Ctrl, Alt or Meta held
  typing: boolean; // the focus is in a field
  onControl: boolean; // the focus is on a link or button, whose own Enter wins
}

const PREFIX_MS = 1_500;

/** `prefixAt` is when "g" was pressed, or null. */
export function interpret(press: KeyPress, prefixAt: number | null, now: number, enabled: boolean): { action: Action | null; prefixAt: number | null } {
  const nothing = { action: null, prefixAt: null };
  if (press.modified) return nothing;
  if (press.key === 'Escape') return { action: 'dismiss', prefixAt: null };
  if (press.typing || !enabled) return nothing;
  if (prefixAt !== null && now - prefixAt <= PREFIX_MS) {
    const action = Object.hasOwn(GOTO, press.key) ? GOTO[press.key as keyof typeof GOTO] : null;
    return { action, prefixAt: null };
  }
  if (press.key === 'g') return { action: null, prefixAt: now };
  if (press.key === 'Enter' && press.onControl) return nothing;
  return { action: Object.hasOwn(ACTIONS, press.key) ? ACTIONS[press.key as keyof typeof ACTIONS] : null, prefixAt: null };
}

type Handlers = Partial<Record<Action, () => void>>;
const stack: { handlers: Handlers }[] = [];

/** While the component is shown, these actions are offered; the one mounted last wins. */
export function useActions(handlers: Handlers): void {
  const entry = useRef({ handlers }).current;
  entry.handlers = handlers;
  useEffect(() => {
    stack.push(entry);
    return () => void stack.splice(stack.indexOf(entry), 1);
  }, [entry]);
}

const isTyping = (target: Element | null): boolean => {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement) return true;
  return target instanceof HTMLInputElement && !['checkbox', 'radio', 'button', 'submit'].includes(target.type);
};

export function startKeys(): void {
  let prefixAt: number | null = null;
  document.addEventListener('keydown', (event) => {
    if (event.defaultPrevented || event.isComposing || document.querySelector('dialog[open]')) return;
    const target = event.target instanceof Element ? event.target : null;
    const result = interpret(
      {
        key: event.key,
        modified: event.ctrlKey || event.altKey || event.metaKey,
        typing: isTyping(target),
        onControl: target?.closest('a, button, summary, select, input') != null,
      },
      prefixAt,
      event.timeStamp,
      singleKeys.value,
    );
    prefixAt = result.prefixAt;
    if (!result.action) return;
    const action = result.action;
    const handler = [...stack].reverse().find(({ handlers }) => handlers[action])?.handlers[action];
    if (!handler) return;
    event.preventDefault();
    handler();
  });
}
