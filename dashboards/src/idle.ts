// SPDX-License-Identifier: Apache-2.0
// The server ends a session that nobody uses (15 minutes at level 3), and it sees requests only. Reading and moving through a list make none,
// so a sign of life from the person becomes a request, at most one a minute; and before the end the person is told, with time to act.
import { signal } from '@preact/signals';

/** When the server last saw a request of this session that a person caused, in any tab; milliseconds. */
export const lastUsed = signal(Date.now());

const PING_MS = 60_000;
const SIGNS = ['pointerdown', 'keydown', 'wheel', 'touchmove'] as const;

const channel = 'BroadcastChannel' in globalThis ? new BroadcastChannel('vonggac-activity') : null;
if (channel)
  channel.onmessage = ({ data }: MessageEvent<unknown>) => {
    if (typeof data === 'number' && data > lastUsed.value) lastUsed.value = data;
  };

/** Told by api.ts of every such request. */
export function noteUse(now = Date.now()): void {
  lastUsed.value = now;
  channel?.postMessage(now);
}

export interface TimeLeft {
  why: 'idle' | 'max';
  seconds: number;
}

/** How long the session lasts unless somebody acts, when that is worth a warning: the last minute of idling, or of the session's life. */
export function timeLeft(now: number, used: number, idleS: number, expires: number): TimeLeft | null {
  const idle = Math.ceil(idleS - (now - used) / 1000);
  const max = Math.ceil((expires - now) / 1000);
  const notice = Math.min(60, idleS / 3);
  if (max <= 60 && max <= idle) return { why: 'max', seconds: Math.max(0, max) };
  return idle <= notice ? { why: 'idle', seconds: Math.max(0, idle) } : null;
}

/** Watches for signs of life; `ping` makes one request. Once the warning is up only its button counts, or it would vanish at a touch. */
export function watchActivity(ping: () => void, isWarning: () => boolean): () => void {
  const sign = (): void => {
    if (!isWarning() && Date.now() - lastUsed.value > PING_MS) {
      noteUse();
      ping();
    }
  };
  for (const name of SIGNS) addEventListener(name, sign, { passive: true, capture: true });
  return () => {
    for (const name of SIGNS) removeEventListener(name, sign, { capture: true });
  };
}
