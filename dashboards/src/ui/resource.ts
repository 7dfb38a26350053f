// SPDX-License-Identifier: Apache-2.0
// One thing asked from the API: loading, the value, or what went wrong; asked again when told to, without blanking what is shown.
import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError, get } from '../api';

export interface Resource<T> {
  value: T | null;
  error: unknown;
  /** By a person: keeps the session alive. */
  reload: () => void;
  /** Because the stream told of a change: soon, and once for many changes. */
  follow: () => void;
  set: (value: T) => void;
}

const FOLLOW_MS = 300;

export function useResource<T>(url: string): Resource<T> {
  const [state, setState] = useState<{ url: string; value: T | null; error: unknown }>({ url, value: null, error: null });
  const self = useRef({ run: 0, timer: undefined as ReturnType<typeof setTimeout> | undefined }).current;

  const load = (background: boolean): void => {
    const run = ++self.run;
    get<T>(url, { background })
      .then((value) => run === self.run && setState({ url, value, error: null }))
      .catch((error: unknown) => {
        if (run !== self.run || (error instanceof ApiError && error.code === 'aborted')) return;
        setState((before) => ({ url, value: before.url === url ? before.value : null, error }));
      });
  };
  useEffect(() => {
    load(false);
    return () => {
      self.run++;
      clearTimeout(self.timer);
      self.timer = undefined;
    };
  }, [url]);

  const here = state.url === url;
  return {
    value: here ? state.value : null,
    error: here ? state.error : null,
    reload: () => load(false),
    follow: () => {
      self.timer ??= setTimeout(() => {
        self.timer = undefined;
        load(true);
      }, FOLLOW_MS);
    },
    set: (value) => setState({ url, value, error: null }),
  };
}
