// SPDX-License-Identifier: Apache-2.0
// The live stream, one connection for all tabs of a browser: the tab that holds a Web Lock reads it and tells the others through a
// BroadcastChannel; when it closes, the lock passes on and the next tab resumes after the last change that it heard of.
//
//     waiting for the lock -> connecting -> live -> (end, error, 20 s of silence) -> back-off -> connecting ...
//                                  \-> 401: the session is over; every tab goes to the sign-in page
import { signal } from '@preact/signals';
import { setStatus } from './health';
import { changeOf } from './live';
import { backoff, SseParser, type SseEvent } from './sse';
import type { Alert, Delivery, Incident, Status } from './types';

export interface StreamEvents {
  alert: Alert;
  incident: Incident;
  outbox: Delivery;
  reset: null;
}

export type Connection = 'connecting' | 'live' | 'lost';
export const connection = signal<Connection>('connecting');
/** When anything was last heard, in milliseconds; status comes every 5 s. */
export const lastHeard = signal(Date.now());

const SILENCE_MS = 20_000;
const CHANNEL = 'vonggac-stream';

type Message =
  | { kind: 'event'; event: SseEvent }
  | { kind: 'connection'; connection: Connection }
  | { kind: 'hello' }
  | { kind: 'signed_out' };

const listeners: { [K in keyof StreamEvents]: Set<(data: StreamEvents[K]) => void> } = {
  alert: new Set(),
  incident: new Set(),
  outbox: new Set(),
  reset: new Set(),
};

/** Returns what ends the subscription. */
export function onStream<K extends keyof StreamEvents>(type: K, listener: (data: StreamEvents[K]) => void): () => void {
  listeners[type].add(listener);
  return () => void listeners[type].delete(listener);
}

/** Also for the answers to our own actions, so that every page learns of them the same way. */
export const tell = <K extends keyof StreamEvents>(type: K, data: StreamEvents[K]): void => {
  for (const listener of [...listeners[type]]) listener(data);
};

let newest = 0n; // the highest change heard of, for Last-Event-ID
/** A page that loaded alerts knows the newest change already; a stream that starts later resumes from there. */
export const noteChange = (change: string | number): void => {
  const value = changeOf(change);
  if (value > newest) newest = value;
};

function receive(event: SseEvent): void {
  lastHeard.value = Date.now();
  if (event.id !== null) noteChange(event.id);
  let data: unknown;
  try {
    data = JSON.parse(event.data);
  } catch {
    data = null;
  }
  if (event.type === 'reset') tell('reset', null);
  else if (data === null || typeof data !== 'object') return;
  else if (event.type === 'status') setStatus(data as Status);
  else if (event.type === 'alert') tell('alert', data as Alert);
  else if (event.type === 'incident') tell('incident', data as Incident);
  else if (event.type === 'outbox') tell('outbox', data as Delivery);
}

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
  });

/** One connection until it ends. Returns 'signed_out' when the session is over, 'ended' for every other end. */
async function readOnce(signal: AbortSignal, onEvent: (event: SseEvent) => void): Promise<'signed_out' | 'ended'> {
  const silence = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const heard = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(), SILENCE_MS);
  };
  const stop = (): void => silence.abort();
  signal.addEventListener('abort', stop, { once: true });
  try {
    heard();
    const headers: Record<string, string> = { Accept: 'text/event-stream', 'X-Background': '1' };
    if (newest > 0n) headers['Last-Event-ID'] = String(newest);
    const response = await fetch('/api/stream', { headers, credentials: 'same-origin', cache: 'no-store', signal: silence.signal });
    if (response.status === 401 || response.status === 403) return 'signed_out';
    if (!response.ok || !response.body) return 'ended';
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const parser = new SseParser();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return 'ended';
      heard();
      for (const event of parser.push(value)) {
        if (event.type === 'end' && /"(idle|expired|signed_out)"/.test(event.data)) return 'signed_out';
        onEvent(event);
      }
    }
  } catch {
    return 'ended';
  } finally {
    clearTimeout(timer);
    silence.abort();
    signal.removeEventListener('abort', stop);
  }
}

export interface StreamHandle {
  /** Another tab signed out, or this one did: tell the others, then stop. */
  stop(announce: boolean): void;
}

export function startStream(onSignedOut: () => void): StreamHandle {
  const life = new AbortController();
  const channel = 'BroadcastChannel' in globalThis ? new BroadcastChannel(CHANNEL) : null;
  const send = (message: Message): void => channel?.postMessage(message);
  let leading = false;
  newest = 0n;
  connection.value = 'connecting';
  lastHeard.value = Date.now();

  const setConnection = (value: Connection): void => {
    connection.value = value;
    send({ kind: 'connection', connection: value });
  };

  if (channel) {
    channel.onmessage = ({ data }: MessageEvent<Message>) => {
      if (data.kind === 'signed_out') onSignedOut();
      else if (leading) {
        if (data.kind === 'hello') send({ kind: 'connection', connection: connection.value });
      } else if (data.kind === 'event') receive(data.event);
      else if (data.kind === 'connection') {
        connection.value = data.connection;
        if (data.connection === 'live') lastHeard.value = Date.now();
      }
    };
    send({ kind: 'hello' });
  }

  const lead = async (): Promise<void> => {
    leading = true;
    for (let attempt = 0; !life.signal.aborted; attempt++) {
      const end = await readOnce(life.signal, (event) => {
        if (connection.value !== 'live') setConnection('live');
        attempt = -1;
        receive(event);
        send({ kind: 'event', event });
      });
      if (life.signal.aborted) return;
      if (end === 'signed_out') {
        send({ kind: 'signed_out' });
        onSignedOut();
        return;
      }
      if (attempt > 0) setConnection('lost'); // one quick reconnect is nobody's business
      await pause(backoff(Math.max(0, attempt)), life.signal);
    }
  };

  if (channel && 'locks' in navigator) void navigator.locks.request(CHANNEL, { signal: life.signal }, lead).catch(() => undefined);
  else void lead();

  return {
    stop(announce) {
      if (announce) send({ kind: 'signed_out' });
      life.abort();
      channel?.close();
    },
  };
}
