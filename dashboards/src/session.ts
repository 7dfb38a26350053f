// SPDX-License-Identifier: Apache-2.0
// Who is signed in. `me` is undefined until the first answer, null when nobody is. The stream lives exactly as long as a session does.
import { computed, signal } from '@preact/signals';
import { ApiError, get, post, setCsrf, setSignedOutHandler } from './api';
import { second } from './clock';
import { lastUsed, noteUse, timeLeft, watchActivity } from './idle';
import { path, navigate, route } from './router';
import { startStream, type StreamHandle } from './stream';
import type { Me } from './types';

export const me = signal<Me | null | undefined>(undefined);
/** Why the sign-in page is shown: the session ended by itself. */
export const expired = signal(false);
/** The first question could not be asked: no collector behind the edge. */
export const unreachable = signal<ApiError | null>(null);

/** Not null shortly before the session ends. */
export const ending = computed(() => (me.value ? timeLeft(second.value, lastUsed.value, me.value.idle_s, Date.parse(me.value.expires)) : null));
/** A request that a person caused: the session goes on. */
export const stay = (): void => void get<Me>('/api/me').catch(() => undefined);

let stream: StreamHandle | null = null;
let unwatch: (() => void) | null = null;

function accept(answer: Me): void {
  setCsrf(answer.csrf);
  noteUse();
  me.value = answer;
  unwatch ??= watchActivity(stay, () => ending.value !== null);
  expired.value = false;
  unreachable.value = null;
  if (route.value.page === 'sign_in') navigate(route.value.next, 'replace');
  if (!answer.must_change_password) stream ??= startStream(() => signedOut(true));
}

function signedOut(byItself: boolean): void {
  const had = me.value != null;
  stream?.stop(false);
  stream = null;
  unwatch?.();
  unwatch = null;
  setCsrf('');
  me.value = null;
  if (had) expired.value = byItself;
  if (route.value.page === 'sign_in') return;
  const next = location.pathname + location.search;
  navigate(path('/sign-in', next === '/' || next === '/alerts' ? undefined : new URLSearchParams({ next })), 'replace');
}

export async function startSession(): Promise<void> {
  setSignedOutHandler((code) => {
    if (code === 'must_change_password') {
      if (me.value) me.value = { ...me.value, must_change_password: true };
    } else if (me.value !== null) {
      signedOut(true);
    }
  });
  try {
    accept(await get<Me>('/api/me', { background: true }));
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return; // the handler above has dealt with it
    unreachable.value = error instanceof ApiError ? error : new ApiError(0, 'network', String(error));
  }
}

export async function signIn(user: string, password: string): Promise<void> {
  accept(await post<Me>('/api/login', { user, password }));
}

export async function changePassword(old: string, next: string): Promise<void> {
  // Every other session of the user ends with this; the stream, if one ran, belonged to the old cookie.
  stream?.stop(false);
  stream = null;
  accept(await post<Me>('/api/password', { old, new: next }));
}

export async function signOut(): Promise<void> {
  try {
    await post('/api/logout');
  } catch {
    // without a network the cookie stays until it expires; the page forgets at least what it shows
  }
  stream?.stop(true);
  stream = null;
  signedOut(false);
}

/** The rules of /api/password that can be told before asking; each is shown with a tick as it is met. */
export const passwordRules = (password: string, user: string): Record<'length' | 'lower' | 'upper' | 'digit' | 'other' | 'name', boolean> => ({
  length: [...password].length >= 14,
  lower: /[a-z]/.test(password),
  upper: /[A-Z]/.test(password),
  digit: /[0-9]/.test(password),
  other: /[^a-zA-Z0-9]/.test(password), // letters beyond ASCII too
  name: password !== '' && !(user !== '' && password.toLowerCase().includes(user.toLowerCase())),
});
