// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { addTerm, apiQuery, belongs, DEFAULT_FILTER, filterParams, parseFilter, splitTerms, STATUSES, term, toggle, type AlertFilter } from '../src/filter';
import { alert } from './samples';

const parse = (query: string): AlertFilter => parseFilter(new URLSearchParams(query));
const now = new Date('2026-11-23T10:00:00Z');

describe('the filter in the URL', () => {
  it('is empty by default', () => {
    expect(parse('')).toEqual(DEFAULT_FILTER);
    expect(filterParams(DEFAULT_FILTER).toString()).toBe('');
  });
  it.each([
    'status=all',
    'status=new%2Cclosed',
    'level=4%2C3',
    'rule=5c1f0a0e&host=web01',
    'q=source.ip%3A203.0.113.7+root',
    'range=24h',
    'from=2026-11-23T00%3A00%3A00.000Z&to=2026-11-23T09%3A30%3A00.000Z',
    'demo=0&sort=level&view=groups',
  ])('survives a round trip: %s', (query) => expect(filterParams(parse(query)).toString()).toBe(query));
  it('forgives what it does not understand', () => {
    expect(parse('status=x&level=9,a&range=1y&from=yesterday&sort=id&view=x&open=1')).toEqual(DEFAULT_FILTER);
    expect(parse('status=closed,new,evil').status).toEqual(['new', 'closed']);
    expect(parse('level=0,4').level).toEqual([4, 0]);
    expect(parse('range=__proto__').range).toBe('');
    expect(parse(`q=${'x'.repeat(5_000)}`).q).toHaveLength(1_000);
  });
  it('lets a relative range win over from and to', () => expect(parse('range=1h&from=2026-11-23T00:00:00Z')).toMatchObject({ range: '1h', from: '' }));
});

describe('the API query', () => {
  it('asks for the open statuses', () => expect(apiQuery(DEFAULT_FILTER, now)).toEqual({ status: 'new,acknowledged,escalated' }));
  it('turns a relative range into a time', () => expect(apiQuery(parse('range=1h'), now)['from']).toBe('2026-11-23T09:00:00.000Z'));
  it('says all, demo and sort as the contract does', () =>
    expect(apiQuery(parse('status=all&demo=0&sort=level&level=4,3'), now)).toEqual({ status: 'all', demo: '0', sort: 'level', level: '4,3' }));
  it('never sends what is the console’s own', () => expect(apiQuery(parse('view=groups&open=1'), now)).toEqual({ status: 'new,acknowledged,escalated' }));
});

describe('whether a live alert belongs', () => {
  const news = alert({ last: '2026-11-23T09:59:00Z' });
  it.each<[string, boolean | 'ask']>([
    ['', true],
    ['status=closed', false],
    ['level=3', true],
    ['level=4', false],
    ['rule=r1', true],
    ['rule=r2', false],
    ['host=web01', true],
    ['host=web02', false],
    ['range=15m', true],
    ['from=2026-11-23T09:59:30Z', false],
    ['to=2026-11-23T09:58:00Z', false],
    ['q=root', 'ask'],
    ['q=root&host=web02', false],
  ])('%s: %s', (query, wanted) => expect(belongs(parse(query), news, now)).toBe(wanted));
  it('leaves demonstrations out when told to', () => {
    expect(belongs(parse('demo=0'), alert({ demo: true }), now)).toBe(false);
    expect(belongs(parse(''), alert({ demo: true }), now)).toBe(true);
  });
  it('lets an old alert out of a short range', () => expect(belongs(parse('range=15m'), alert({ last: '2026-11-23T09:00:00.123456789Z' }), now)).toBe(false));
});

describe('terms', () => {
  it('are quoted when they must be', () => {
    expect(term('source.ip', '203.0.113.7')).toBe('source.ip:203.0.113.7');
    expect(term('user.name', 'a b', true)).toBe('-user.name:"a b"');
    expect(term('url.path', 'say "hi" \\ bye')).toBe('url.path:"say \\"hi\\" \\\\ bye"');
    expect(term('user.name', '')).toBe('user.name:""');
  });
  it('are split outside quotes only', () => {
    expect(splitTerms('a  -b:"c d" "e \\" f" g')).toEqual(['a', '-b:"c d"', '"e \\" f"', 'g']);
    expect(splitTerms('open "quote here')).toEqual(['open', '"quote here']);
    expect(splitTerms(' ')).toEqual([]);
  });
  it('survive writing and splitting, whatever the value', () => {
    for (const value of ['x', 'a b', '"', '\\', 'a\\" b', '<script>', 'a\tb']) expect(splitTerms(`before ${term('f', value)} after`)).toHaveLength(3);
  });
  it('are added once and replace their opposite', () => {
    const once = addTerm('root', 'host.name', 'web 1', false);
    expect(once).toBe('root host.name:"web 1"');
    expect(addTerm(once, 'host.name', 'web 1', false)).toBe(once);
    expect(addTerm(once, 'host.name', 'web 1', true)).toBe('root -host.name:"web 1"');
  });
});

describe('toggle', () => {
  it('keeps the canonical order', () => {
    expect(toggle(STATUSES, ['closed'], 'new')).toEqual(['new', 'closed']);
    expect(toggle(STATUSES, ['new', 'closed'], 'new')).toEqual(['closed']);
  });
});
