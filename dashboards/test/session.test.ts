// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { passwordRules } from '../src/session';

const unmet = (password: string, user = 'admin'): string[] =>
  Object.entries(passwordRules(password, user))
    .filter(([, met]) => !met)
    .map(([rule]) => rule);

describe('the rules of a new password', () => {
  it('are all met by a good one', () => expect(unmet('Trung-tam 4 giam sat')).toEqual([]));
  it('are all unmet by none', () => expect(unmet('')).toEqual(['length', 'lower', 'upper', 'digit', 'other', 'name']));
  it.each([
    ['Short-1', ['length']],
    ['ALL-UPPER-CASE-1', ['lower']],
    ['all-lower-case-1', ['upper']],
    ['No-digits-at-all', ['digit']],
    ['NoOtherCharacter1', ['other']],
    ['My-ADMIN-word-1234', ['name']],
    ['Mậtkhẩucódấu12A', []],
  ])('%s: %j', (password, wanted) => expect(unmet(password)).toEqual(wanted));
  it('counts characters, not code units', () => expect(unmet('Aa1!👮👮👮👮👮')).toContain('length'));
});
