// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { appended, applied, changeOf, keptSelection, loaded, MAX_WAITING, neighbour, settled, type LiveList } from '../src/live';
import { alert, page } from './samples';

const ids = (list: LiveList): string[] => list.rows.map((row) => row.id);
const start = loaded(page([alert({ id: 'a', change: '3' }), alert({ id: 'b', change: '5' })], '5', 'cursor'));

describe('the live list', () => {
  it('updates a row where it stands', () => {
    const after = applied(start, alert({ id: 'a', change: '6', status: 'closed', last: '2030-01-01T00:00:00Z' }), false);
    expect(ids(after)).toEqual(['a', 'b']);
    expect(after.rows[0]?.status).toBe('closed');
    expect(after.rows[1]).toBe(start.rows[1]); // untouched rows are the same objects: they are not drawn again
  });
  it('never lets old news overwrite newer', () => {
    const newer = applied(start, alert({ id: 'a', change: '9', count: 9 }), true);
    expect(applied(newer, alert({ id: 'a', change: '8', count: 8 }), true)).toBe(newer);
    expect(applied(start, alert({ id: 'b', change: '5', count: 7 }), true)).toBe(start);
  });
  it('lets new alerts wait, and moves nothing', () => {
    const one = applied(start, alert({ id: 'c', change: '6' }), true);
    const two = applied(one, alert({ id: 'c', change: '7', count: 2 }), true);
    expect(ids(two)).toEqual(['a', 'b']);
    expect([...two.waiting.keys()]).toEqual(['c']);
    expect(two.waiting.get('c')?.count).toBe(2);
    expect(applied(two, alert({ id: 'c', change: '6' }), true)).toBe(two);
  });
  it('does not count what does not belong, and stops counting what no longer does', () => {
    expect(applied(start, alert({ id: 'c', change: '6' }), false)).toBe(start);
    const waiting = applied(start, alert({ id: 'c', change: '6' }), true);
    expect(applied(waiting, alert({ id: 'c', change: '7', status: 'closed' }), false).waiting.size).toBe(0);
  });
  it('knows that the page already held everything up to its own change', () =>
    expect(applied(start, alert({ id: 'far-down-the-list', change: '4' }), true)).toBe(start));
  it('compares changes beyond 2^53', () => {
    const list = loaded(page([alert({ id: 'a', change: '9007199254740993' })], '9007199254740993'));
    expect(applied(list, alert({ id: 'a', change: '9007199254740992' }), true)).toBe(list);
    expect(applied(list, alert({ id: 'a', change: '9007199254740994', count: 4 }), true).rows[0]?.count).toBe(4);
    expect(changeOf('rubbish')).toBe(0n);
  });
  it('appends a page without showing anything twice', () => {
    const waiting = applied(start, alert({ id: 'c', change: '6' }), true);
    const more = appended(waiting, page([alert({ id: 'b' }), alert({ id: 'c' }), alert({ id: 'd' })], '7'));
    expect(ids(more)).toEqual(['a', 'b', 'c', 'd']);
    expect(more.waiting.size).toBe(0);
    expect(more.next).toBeNull();
    expect(applied(more, alert({ id: 'd', change: '9', count: 3 }), true).rows[3]?.count).toBe(3);
  });
  it('limits what waits', () => {
    let list = start;
    for (let i = 0; i < 20; i++) list = applied(list, alert({ id: `n${i}`, change: String(10 + i) }), true);
    expect(list.waiting.size).toBe(20);
    const full: LiveList = { ...start, waiting: new Map(Array.from({ length: MAX_WAITING }, (_, i) => [`w${i}`, alert({ id: `w${i}` })])) };
    expect(applied(full, alert({ id: 'over', change: '99' }), true).waiting.size).toBe(MAX_WAITING);
  });
  it('takes the server’s word on what belongs to a search', () => {
    const list = settled(start, new Set(['c', 'd', 'a']), [alert({ id: 'c', change: '6' }), alert({ id: 'a', change: '3' })]);
    expect([...list.waiting.keys()]).toEqual(['c']);
  });
});

describe('selection and moving', () => {
  it('keeps the selection of rows that are still there', () => expect([...keptSelection(new Set(['b', 'gone']), start)]).toEqual(['b']));
  it('moves one at a time and stops at the ends', () => {
    const stops = ['a', 'b', 'c'];
    expect(neighbour(stops, null, 1)).toBe('a');
    expect(neighbour(stops, 'a', 1)).toBe('b');
    expect(neighbour(stops, 'c', 1)).toBe('c');
    expect(neighbour(stops, 'a', -1)).toBe('a');
    expect(neighbour(stops, 'gone', -1)).toBe('a');
    expect(neighbour([], null, 1)).toBeNull();
  });
});
