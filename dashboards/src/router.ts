// SPDX-License-Identifier: Apache-2.0
// Paths to pages and back. The whole state of a page that someone may want to send to a colleague is in its URL. Ordinary links are
// caught on the document, so that a page writes <a href="/agents"> and middle click, copy and open-in-tab work as everywhere.
import { signal } from '@preact/signals';

export type Route =
  | { page: 'alerts'; params: URLSearchParams }
  | { page: 'alert'; id: string }
  | { page: 'incidents' }
  | { page: 'incident'; id: string }
  | { page: 'ncsc' }
  | { page: 'agents' }
  | { page: 'rules' }
  | { page: 'sign_in'; next: string }
  | { page: 'unknown' };

const ID = /^[0-9A-Za-z-]{1,64}$/;

export function parseRoute(url: URL): Route {
  const [head = '', id, ...rest] = url.pathname.split('/').slice(1);
  if (rest.length > 0 || (id !== undefined && !ID.test(id))) return { page: 'unknown' };
  if (id !== undefined) {
    if (head === 'alerts') return { page: 'alert', id };
    if (head === 'incidents') return { page: 'incident', id };
    return { page: 'unknown' };
  }
  switch (head) {
    case '':
    case 'alerts':
      return { page: 'alerts', params: url.searchParams };
    case 'incidents':
    case 'ncsc':
    case 'agents':
    case 'rules':
      return { page: head };
    case 'sign-in':
      return { page: 'sign_in', next: safeNext(url.searchParams.get('next'), url.origin) };
    default:
      return { page: 'unknown' };
  }
}

/** Where to go after signing in: a path of this console and nothing else, whatever the link said. */
export function safeNext(next: string | null, origin: string): string {
  if (next === null || !/^\/(?![/\\])/.test(next)) return '/alerts';
  try {
    const url = new URL(next, origin);
    if (url.origin !== origin || url.pathname === '/sign-in') return '/alerts';
    return url.pathname + url.search;
  } catch {
    return '/alerts';
  }
}

export const path = (pathname: string, params?: URLSearchParams): string => {
  const query = params?.toString();
  return query ? `${pathname}?${query}` : pathname;
};

export const route = signal<Route>({ page: 'unknown' });

const read = (): void => void (route.value = parseRoute(new URL(location.href)));

export function navigate(to: string, how: 'push' | 'replace' = 'push'): void {
  const here = location.pathname + location.search;
  if (to !== here) history[how === 'push' ? 'pushState' : 'replaceState'](null, '', to);
  read();
}

export function startRouter(): void {
  addEventListener('popstate', read);
  document.addEventListener('click', (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element).closest?.('a');
    if (!link || link.target || link.hasAttribute('download') || link.origin !== location.origin) return;
    if (link.hash && link.pathname === location.pathname) return;
    event.preventDefault();
    const samePage = link.pathname === location.pathname;
    navigate(link.pathname + link.search);
    if (!samePage) scrollTo(0, 0);
  });
  read();
}
