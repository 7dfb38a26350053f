// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ApiError, get, post, setCsrf, setSignedOutHandler } from '../src/api';
import { fakeFetch, type Call } from './fake_api';

let calls: Call[];
const signedOut = vi.fn();
beforeEach(() => {
  calls = fakeFetch();
  signedOut.mockReset();
  setSignedOutHandler(signedOut);
  setCsrf('token');
});
afterEach(() => vi.unstubAllGlobals());

const failure = async (promise: Promise<unknown>): Promise<ApiError> => {
  const error: unknown = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!(error instanceof ApiError)) throw new Error('did not fail as an ApiError');
  return error;
};

describe('a call', () => {
  it('carries the CSRF token only when it changes something', async () => {
    const reading = get('/api/alerts', { query: { q: 'a b', host: '', limit: 1, from: undefined } });
    expect(calls[0]?.url.search).toBe('?q=a+b&limit=1');
    expect(calls[0]?.headers.get('X-CSRF-Token')).toBeNull();
    calls[0]?.answer(200, { ok: 1 });
    expect(await reading).toEqual({ ok: 1 });
    const writing = post('/api/logout');
    expect(calls[1]?.headers.get('X-CSRF-Token')).toBe('token');
    expect(calls[1]?.body).toEqual({});
    calls[1]?.answer(204, undefined);
    expect(await writing).toBeNull();
  });
  it('is marked when no person caused it', () => {
    void get('/api/alerts', { background: true }).catch(() => undefined);
    void get('/api/alerts').catch(() => undefined);
    expect(calls.map((call) => call.headers.get('X-Background'))).toEqual(['1', null]);
  });
  it('gives the server’s error', async () => {
    const call = failure(post('/api/alerts/status', {}));
    calls[0]?.answer(409, { error: { code: 'conflict', message: 'alert a1 is closed' } });
    expect(await call).toMatchObject({ status: 409, code: 'conflict', message: 'alert a1 is closed' });
    expect(signedOut).not.toHaveBeenCalled();
  });
  it('understands an error that is not JSON, and an answer that is not', async () => {
    const gateway = failure(get('/api/alerts'));
    calls[0]?.answer(502, '<html>');
    expect((await gateway).code).toBe('http_502');
    const broken = failure(get('/api/alerts'));
    calls[1]?.answer(200, '{"alerts":');
    expect((await broken).code).toBe('not_json');
  });
  it('tells when the session is over, but not when a sign-in fails', async () => {
    const login = failure(post('/api/login', {}));
    calls[0]?.answer(401, { error: { code: 'unauthenticated', message: '' } });
    await login;
    expect(signedOut).not.toHaveBeenCalled();
    const other = failure(get('/api/alerts'));
    calls[1]?.answer(401, { error: { code: 'unauthenticated', message: '' } });
    await other;
    expect(signedOut).toHaveBeenCalledWith('unauthenticated');
    const change = failure(get('/api/alerts'));
    calls[2]?.answer(403, { error: { code: 'must_change_password', message: '' } });
    await change;
    expect(signedOut).toHaveBeenLastCalledWith('must_change_password');
  });
  it('tells a failed network from a call that was given up', async () => {
    const network = failure(get('/api/alerts'));
    calls[0]?.fail();
    expect((await network).code).toBe('network');
    const abort = new AbortController();
    const given = failure(get('/api/alerts', { signal: abort.signal }));
    abort.abort();
    expect((await given).code).toBe('aborted');
  });
});
