// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { backoff, SseParser } from '../src/sse';

const all = (...chunks: string[]) => {
  const parser = new SseParser();
  return chunks.flatMap((chunk) => parser.push(chunk));
};

describe('the parser of server-sent events', () => {
  it('reads type, id and data', () =>
    expect(all('event: alert\nid: 42\ndata: {"a":1}\n\n')).toEqual([{ type: 'alert', id: '42', data: '{"a":1}' }]));
  it('gives the same events however the bytes are cut', () => {
    const text = ': hello\r\nevent: status\r\ndata: 1\r\ndata: 2\r\n\r\nid: 7\rdata:x\r\r\nevent: reset\ndata\n\n';
    const whole = all(text);
    expect(whole).toEqual([
      { type: 'status', id: null, data: '1\n2' },
      { type: 'message', id: '7', data: 'x' },
      { type: 'reset', id: null, data: '' },
    ]);
    expect(all(...text)).toEqual(whole);
    for (let cut = 1; cut < text.length; cut++) expect(all(text.slice(0, cut), text.slice(cut))).toEqual(whole);
  });
  it('does not carry an id over to the next event', () => expect(all('id: 1\ndata: a\n\ndata: b\n\n').map((event) => event.id)).toEqual(['1', null]));
  it('ignores comments, unknown fields and events without data', () => expect(all(':\nretry: 5\nfoo: x\nevent: alert\n\n')).toEqual([]));
  it('keeps a half event to itself', () => expect(all('data: a\n')).toEqual([]));
  it('refuses an endless line and an endless event', () => {
    expect(() => all('x'.repeat((1 << 20) + 1))).toThrow(RangeError);
    const parser = new SseParser();
    expect(() => {
      for (let i = 0; i < 2_000; i++) parser.push(`data: ${'x'.repeat(1_000)}\n`);
    }).toThrow(RangeError);
  });
});

describe('back-off', () => {
  it('doubles from one second to thirty', () => expect([0, 1, 2, 3, 4, 5, 50].map((n) => backoff(n, () => 0))).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]));
  it('is up to a quarter shorter, by chance', () => expect(backoff(0, () => 1)).toBe(750));
});
