// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { findAll, matchedRanges, mergeRanges, patternLiterals, plain, segments, visibleName } from '../src/hostile';

const shown = (text: string): string => segments(text).map((part) => (part.hidden ? `[${part.text}]` : part.text)).join('');

describe('segments', () => {
  it('leaves ordinary text, Vietnamese and other scripts alone', () => {
    for (const text of ['', 'sshd[1]: ok', 'Đăng nhập thất bại', 'e\u0301', '日本語 русский', '👮', '<script>alert(1)</script>']) expect(shown(text)).toBe(text);
  });
  it.each([
    ['evil\u202Etxt.exe', 'evil[U+202E]txt.exe'],
    ['a\u2066b\u2069', 'a[U+2066]b[U+2069]'],
    ['\u061C\u200E\u200F', '[U+061C][U+200E][U+200F]'],
    ['ad\u200Bmin', 'ad[U+200B]min'],
    ['a\u00ADb\uFEFFc', 'a[U+00AD]b[U+FEFF]c'],
    ['\u001b[31mred\u0007', '[ESC][31mred[BEL]'],
    ['a\tb\r\nc\0', 'a[TAB]b[CR][LF]c[NUL]'],
    ['\u007f\u0085\u009b', '[DEL][U+0085][U+009B]'],
    ['a\u2028b\u2029', 'a[U+2028]b[U+2029]'],
    ['a\u00a0b\u3000c', 'a[U+00A0]b[U+3000]c'],
    ['\ud800x', '[U+D800]x'],
    ['\u{e0041}\u{e0100}', '[U+E0041][U+E0100]'],
    ['\ue000\u3164\u2800', '[U+E000][U+3164][U+2800]'],
  ])('names what cannot be seen in %j', (text, wanted) => expect(shown(text)).toBe(wanted));
  it('loses nothing but the hidden characters', () => {
    const text = 'x\u202Ey\u0000z';
    expect(segments(text).filter((part) => !part.hidden).map((part) => part.text).join('')).toBe('xyz');
  });
  it('keeps line breaks in what people wrote', () => {
    expect(segments('a\nb\u202Ec', [], true).map((part) => part.text)).toEqual(['a\nb', 'U+202E', 'c']);
  });
  it('marks ranges, overlapping or out of order', () => {
    const parts = segments('0123456789', [{ start: 6, end: 8 }, { start: 1, end: 3 }, { start: 2, end: 4 }, { start: 9, end: 99 }]);
    expect(parts.map((part) => (part.mark ? `<${part.text}>` : part.text)).join('')).toBe('0<123>45<67>8<9>');
  });
});

describe('plain', () => {
  it('names hidden characters and limits the length', () => {
    expect(plain('a\u202Eb')).toBe('a‹U+202E›b');
    expect(plain('x'.repeat(400), 10)).toBe(`${'x'.repeat(10)}…`);
  });
});

describe('visibleName', () => {
  it('pads to four digits', () => expect(visibleName('\u00ad')).toBe('U+00AD'));
});

describe('highlighting', () => {
  it('finds without case, and whole words only for short needles', () => {
    expect(findAll('Failed password; FAILED again', ['failed'])).toEqual([{ start: 0, end: 6 }, { start: 17, end: 23 }]);
    expect(findAll('port 22 and 2222, 22', ['22'])).toEqual([{ start: 5, end: 7 }, { start: 18, end: 20 }]);
  });
  it('takes a needle as text, never as a pattern', () => {
    expect(findAll('a.c abc (a+)+$', ['a.c'])).toEqual([{ start: 0, end: 3 }]);
    expect(findAll('x(a+)+$y', ['(a+)+$'])).toEqual([{ start: 1, end: 7 }]);
    expect(findAll('a', ['', '\ud800'])).toEqual([]);
  });
  it('gives right offsets where lower case is longer than upper case', () => expect(findAll('İİ root', ['root'])).toEqual([{ start: 3, end: 7 }]));
  it('stops at a number of ranges', () => expect(findAll('abc '.repeat(1_000), ['abc'])).toHaveLength(200));
  it('takes the literals out of a pattern', () => {
    expect(patternLiterals('*Failed password for*root?')).toEqual(['Failed password for', 'root']);
    expect(patternLiterals('a\\*b\\\\c\\?')).toEqual(['a*b\\c?']);
    expect(patternLiterals('*a*b*')).toEqual([]);
  });
  it('highlights the pattern where it stands, else the value', () => {
    const line = 'sshd: Failed password for root from 203.0.113.9';
    expect(matchedRanges(line, [{ value: line, pattern: '*failed password*' }])).toEqual([{ start: 6, end: 21 }]);
    expect(matchedRanges(line, [{ value: '203.0.113.9', pattern: '203.0.0.0/16' }])).toEqual([{ start: 36, end: 47 }]);
  });
  it('merges what touches', () => expect(mergeRanges([{ start: 0, end: 2 }, { start: 2, end: 4 }, { start: 3, end: 3 }], 9)).toEqual([{ start: 0, end: 4 }]));
});
