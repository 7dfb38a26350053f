// SPDX-License-Identifier: Apache-2.0
// The only place that talks to /api (the stream apart). What every call has in common is here: the CSRF header, the mark of requests that
// no person caused (they must not keep a session alive), a deadline, and errors as one kind of object.

import { noteUse } from './idle';

export class ApiError extends Error {
  constructor(
    readonly status: number, // 0: the network failed, or the deadline passed
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

export interface CallOptions {
  body?: unknown;
  query?: Record<string, string | number | undefined>;
  background?: boolean;
  signal?: AbortSignal;
}

const DEADLINE_MS = 30_000;
let csrf = '';
let onSignedOut: (code: string) => void = () => undefined;

export const setCsrf = (token: string): void => void (csrf = token);
/** The session is gone (401), or only a change of password is allowed (403 must_change_password). */
export const setSignedOutHandler = (handler: (code: string) => void): void => void (onSignedOut = handler);

export async function call<T>(method: 'GET' | 'POST', path: string, options: CallOptions = {}): Promise<T> {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(options.query ?? {})) if (value !== undefined && value !== '') query.set(key, String(value));
  const headers: Record<string, string> = { Accept: 'application/json' };
  if (method !== 'GET') headers['X-CSRF-Token'] = csrf;
  if (options.body !== undefined) headers['Content-Type'] = 'application/json';
  if (options.background) headers['X-Background'] = '1';
  else noteUse();

  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(), DEADLINE_MS);
  const stop = (): void => deadline.abort();
  options.signal?.addEventListener('abort', stop, { once: true });
  let response: Response;
  let text: string;
  try {
    response = await fetch(query.size > 0 ? `${path}?${query}` : path, {
      method,
      headers,
      credentials: 'same-origin',
      cache: 'no-store',
      redirect: 'error',
      signal: deadline.signal,
      ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
    });
    text = await response.text();
  } catch {
    if (options.signal?.aborted) throw new ApiError(0, 'aborted', 'aborted');
    throw new ApiError(0, deadline.signal.aborted ? 'timeout' : 'network', 'no answer');
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', stop);
  }

  let answer: unknown = null;
  try {
    answer = text === '' ? null : JSON.parse(text);
  } catch {
    if (response.ok) throw new ApiError(response.status, 'not_json', 'the answer is not JSON');
  }
  if (response.ok) return answer as T;

  const error = (answer as { error?: { code?: unknown; message?: unknown } } | null)?.error;
  const failure = new ApiError(
    response.status,
    typeof error?.code === 'string' ? error.code : `http_${response.status}`,
    typeof error?.message === 'string' ? error.message : `HTTP ${response.status}`,
  );
  if ((failure.status === 401 && path !== '/api/login') || failure.code === 'must_change_password') onSignedOut(failure.code);
  throw failure;
}

export const get = <T>(path: string, options?: CallOptions): Promise<T> => call<T>('GET', path, options);
export const post = <T>(path: string, body?: unknown, options?: CallOptions): Promise<T> =>
  call<T>('POST', path, { ...options, body: body ?? {} });
