// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { interpret, type KeyPress } from '../src/keys';

const press = (key: string, more: Partial<KeyPress> = {}): KeyPress => ({ key, modified: false, typing: false, onControl: false, ...more });
const action = (key: string, more: Partial<KeyPress> = {}, enabled = true) => interpret(press(key, more), null, 0, enabled).action;

describe('keys', () => {
  it.each([
    ['j', 'next'],
    ['k', 'previous'],
    ['x', 'select'],
    ['a', 'acknowledge'],
    ['c', 'close'],
    ['e', 'escalate'],
    ['z', 'undo'],
    ['/', 'search'],
    ['n', 'show_new'],
    ['?', 'help'],
    ['Enter', 'open'],
    ['Escape', 'dismiss'],
    ['q', null],
    ['constructor', null],
  ])('%s means %s', (key, wanted) => expect(action(key)).toBe(wanted));
  it('mean nothing with Ctrl, Alt or Meta', () => expect(action('a', { modified: true })).toBeNull());
  it('mean nothing while typing, but Escape does', () => {
    expect(action('j', { typing: true })).toBeNull();
    expect(action('Escape', { typing: true })).toBe('dismiss');
  });
  it('leave Enter to the link or button that has the focus', () => {
    expect(action('Enter', { onControl: true })).toBeNull();
    expect(action('j', { onControl: true })).toBe('next');
  });
  it('can be switched off, all but Escape', () => {
    expect(action('a', {}, false)).toBeNull();
    expect(action('Escape', {}, false)).toBe('dismiss');
    expect(interpret(press('g'), null, 0, false).prefixAt).toBeNull();
  });
});

describe('g, then a letter', () => {
  it('goes to a page', () => {
    const first = interpret(press('g'), null, 1_000, true);
    expect(first).toEqual({ action: null, prefixAt: 1_000 });
    expect(interpret(press('t'), first.prefixAt, 1_400, true)).toEqual({ action: 'go_agents', prefixAt: null });
    expect(interpret(press('a'), first.prefixAt, 1_400, true).action).toBe('go_alerts');
  });
  it('forgets after a moment: a then acknowledges', () => expect(interpret(press('a'), 1_000, 3_000, true).action).toBe('acknowledge'));
  it('swallows a letter that leads nowhere, rather than doing something else', () => expect(interpret(press('c'), 1_000, 1_100, true)).toEqual({ action: null, prefixAt: null }));
});
