// SPDX-License-Identifier: Apache-2.0
// A stand-in for fetch, for unit tests of what the console does with answers: late ones, errors, and those that overtake each other.
// It proves nothing about the API; tests/e2e runs against the real collector.
import { vi } from 'vitest';

export interface Call {
  url: URL;
  init: RequestInit;
  headers: Headers;
  body: unknown;
  answer: (status: number, body: unknown) => void;
  fail: () => void;
}

export function fakeFetch(): Call[] {
  const calls: Call[] = [];
  vi.stubGlobal('fetch', (input: string, init: RequestInit = {}) =>
    new Promise<Response>((resolve, reject) => {
      init.signal?.addEventListener('abort', () => reject(new DOMException('aborted', 'AbortError')));
      calls.push({
        url: new URL(input, 'https://console.example'),
        init,
        headers: new Headers(init.headers),
        body: typeof init.body === 'string' ? JSON.parse(init.body) : undefined,
        answer: (status, body) =>
          resolve(new Response(body === undefined ? null : typeof body === 'string' ? body : JSON.stringify(body), { status, headers: { 'Content-Type': 'application/json' } })),
        fail: () => reject(new TypeError('network')),
      });
    }),
  );
  return calls;
}

export const settle = async (): Promise<void> => {
  for (let i = 0; i < 10; i++) await Promise.resolve();
  await new Promise((resolve) => setTimeout(resolve, 0));
};
