// SPDX-License-Identifier: Apache-2.0
// Log text is written by attackers. It reaches the page only as text nodes (never innerHTML), and characters that cannot be seen, or that
// reorder what is seen, are replaced by a visible name. This file decides which, and cuts a text at them and at highlighted ranges.

export interface Range {
  start: number;
  end: number;
}

export interface Segment {
  text: string;
  mark: boolean; // inside a highlighted range
  hidden: boolean; // `text` is the visible name of a character that cannot be seen as it is
}

// Controls and format characters (bidi marks and overrides, zero-width, tags, soft hyphen), line and paragraph separators, unpaired
// surrogates, private use, and the letters that are drawn as nothing. Spaces other than U+0020 are named too: they hide in names and paths.
const HIDDEN_ALL = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\ufe00-\ufe0f]|[^\P{Zs} ]|[\u{e0100}-\u{e01ef}]/gu;

const ASCII_CONTROLS =
  'NUL SOH STX ETX EOT ENQ ACK BEL BS TAB LF VT FF CR SO SI DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC FS GS RS US'.split(' ');

/** The visible name of one hidden character: its abbreviation in ASCII, "U+202E" for the rest. (Few fonts have control pictures.) */
export function visibleName(char: string): string {
  const code = char.codePointAt(0) ?? 0;
  const short = code === 0x7f ? 'DEL' : ASCII_CONTROLS[code];
  if (short !== undefined) return short;
  return `U+${code.toString(16).toUpperCase().padStart(4, '0')}`;
}

/** For places that take a plain string only (title, aria-label, document.title): hidden characters by name, length limited. */
export function plain(text: string, limit = 300): string {
  const cut = text.length > limit ? `${text.slice(0, limit)}…` : text;
  return cut.replace(HIDDEN_ALL, (char) => `‹${visibleName(char)}›`);
}

/** Cuts text into runs. `ranges` are UTF-16 offsets, may overlap and come in any order. `lines`: people wrote it, line breaks stay. */
export function segments(text: string, ranges: readonly Range[] = [], lines = false): Segment[] {
  const out: Segment[] = [];
  const push = (part: string, mark: boolean): void => {
    let at = 0;
    for (const match of part.matchAll(HIDDEN_ALL)) {
      if (lines && match[0] === '\n') continue;
      if (match.index > at) out.push({ text: part.slice(at, match.index), mark, hidden: false });
      out.push({ text: visibleName(match[0]), mark, hidden: true });
      at = match.index + match[0].length;
    }
    if (at < part.length) out.push({ text: part.slice(at), mark, hidden: false });
  };
  let at = 0;
  for (const range of mergeRanges(ranges, text.length)) {
    if (range.start > at) push(text.slice(at, range.start), false);
    push(text.slice(range.start, range.end), true);
    at = range.end;
  }
  if (at < text.length) push(text.slice(at), false);
  return out;
}

export function mergeRanges(ranges: readonly Range[], length: number): Range[] {
  const sorted = ranges
    .map(({ start, end }) => ({ start: Math.max(0, start), end: Math.min(length, end) }))
    .filter(({ start, end }) => start < end)
    .sort((a, b) => a.start - b.start);
  const out: Range[] = [];
  for (const range of sorted) {
    const last = out[out.length - 1];
    if (last && range.start <= last.end) last.end = Math.max(last.end, range.end);
    else out.push({ ...range });
  }
  return out;
}

const MAX_RANGES = 200;

/** Where any of the needles stands in text, ignoring case. Needles of one or two characters count only as whole words. */
export function findAll(text: string, needles: readonly string[]): Range[] {
  const out: Range[] = [];
  for (const needle of needles) {
    if (needle === '') continue;
    const literal = needle.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&');
    // A word inside another word is not what was matched: no letter or digit may go on at either end.
    const whole = needle.length < 3 ? [`(?<![\\p{L}\\p{N}])`, `(?![\\p{L}\\p{N}])`] : ['', ''];
    let pattern: RegExp;
    try {
      pattern = new RegExp(`${whole[0]}${literal}${whole[1]}`, 'giu');
    } catch {
      continue; // an unpaired surrogate in the needle
    }
    for (const match of text.matchAll(pattern)) {
      out.push({ start: match.index, end: match.index + match[0].length });
      if (out.length >= MAX_RANGES) return out;
    }
  }
  return out;
}

/** The literal parts of a Sigma pattern, wildcards taken out, escapes undone; parts under three characters say too little. */
export function patternLiterals(pattern: string): string[] {
  const parts: string[] = [];
  let part = '';
  for (let i = 0; i < pattern.length; i++) {
    const char = pattern.charAt(i);
    const next = pattern.charAt(i + 1);
    if (char === '\\' && (next === '*' || next === '?' || next === '\\')) {
      part += next;
      i++;
    } else if (char === '*' || char === '?') {
      parts.push(part);
      part = '';
    } else {
      part += char;
    }
  }
  parts.push(part);
  return parts.filter((text) => text.length >= 3);
}

/** What to highlight in a raw line for one matched field: the pattern's literals where they stand in it, else the whole value. */
export function matchedRanges(text: string, matched: readonly { value: string; pattern: string | null }[]): Range[] {
  return matched.flatMap(({ value, pattern }) => {
    const literals = pattern ? findAll(text, patternLiterals(pattern)) : [];
    return literals.length > 0 ? literals : findAll(text, [value]);
  });
}
