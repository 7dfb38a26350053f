// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { parseRoute, path, safeNext } from '../src/router';

const origin = 'https://console.example';
const at = (path: string) => parseRoute(new URL(path, origin));

describe('routes', () => {
  it.each([
    ['/', 'alerts'],
    ['/alerts?status=new', 'alerts'],
    ['/incidents', 'incidents'],
    ['/ncsc', 'ncsc'],
    ['/agents', 'agents'],
    ['/rules', 'rules'],
    ['/sign-in', 'sign_in'],
    ['/nothing', 'unknown'],
    ['/alerts/a/b', 'unknown'],
    ['/alerts/..%2f..', 'unknown'],
    ['/agents/x', 'unknown'],
    ['/alerts/', 'unknown'],
  ])('%s is %s', (path, page) => expect(at(path).page).toBe(page));
  it('carry ids', () => {
    expect(at('/alerts/00ff')).toEqual({ page: 'alert', id: '00ff' });
    expect(at('/incidents/6ba7b810-9dad-41d1-80b4-00c04fd430c8')).toEqual({ page: 'incident', id: '6ba7b810-9dad-41d1-80b4-00c04fd430c8' });
  });
  it('are written with a query only when there is one', () => {
    expect(path('/alerts', new URLSearchParams())).toBe('/alerts');
    expect(path('/alerts', new URLSearchParams({ q: 'a b' }))).toBe('/alerts?q=a+b');
  });
});

describe('where to go after signing in', () => {
  it('is the path that was asked for', () => expect(safeNext('/alerts/1?x=1', origin)).toBe('/alerts/1?x=1'));
  it.each([null, '', 'https://evil.example/', '//evil.example/', '/\\evil.example', 'javascript:alert(1)', '/sign-in?next=/sign-in', '\\\\evil'])(
    'is never %s',
    (next) => expect(safeNext(next, origin)).toBe('/alerts'),
  );
});
