// SPDX-License-Identifier: Apache-2.0
// Server-sent events read from a fetch body: unlike EventSource this shows the status (401 and 503 need different answers), lets us send
// Last-Event-ID on the first request, and leaves the back-off to us. Pure parser here; the connection is in stream.ts.

export interface SseEvent {
  type: string;
  data: string;
  id: string | null; // the id of this event itself, null when it carried none
}

const MAX_EVENT = 1 << 20;

export class SseParser {
  private line = '';
  private data: string[] = [];
  private size = 0;
  private type = '';
  private id: string | null = null;
  private sawCr = false;

  /** Events completed by this chunk. Throws RangeError when a line or an event is over 1 MiB: the connection is then of no use. */
  push(chunk: string): SseEvent[] {
    const out: SseEvent[] = [];
    let text = chunk;
    if (this.sawCr && text.startsWith('\n')) text = text.slice(1);
    if (text !== '') this.sawCr = false;
    let start = 0;
    for (const match of text.matchAll(/\r\n|\r|\n/g)) {
      this.line += text.slice(start, match.index);
      start = match.index + match[0].length;
      const event = this.endLine();
      if (event) out.push(event);
      this.sawCr = match[0] === '\r' && start === text.length;
    }
    this.line += text.slice(start);
    if (this.line.length + this.size > MAX_EVENT) throw new RangeError('event too large');
    return out;
  }

  private endLine(): SseEvent | null {
    const line = this.line;
    this.line = '';
    if (line === '') return this.endEvent();
    const colon = line.indexOf(':');
    if (colon === 0) return null; // a comment
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'data') {
      this.data.push(value);
      this.size += value.length;
      if (this.size > MAX_EVENT) throw new RangeError('event too large');
    } else if (field === 'event') {
      this.type = value;
    } else if (field === 'id' && !value.includes('\0')) {
      this.id = value;
    }
    return null;
  }

  private endEvent(): SseEvent | null {
    const event = { type: this.type || 'message', data: this.data.join('\n'), id: this.id };
    const empty = this.data.length === 0;
    this.data = [];
    this.size = 0;
    this.type = '';
    this.id = null;
    return empty ? null : event;
  }
}

/** Milliseconds before the nth try again (n from 0): doubling from 1 s to 30 s, with up to a quarter less so that consoles do not come in step. */
export const backoff = (attempt: number, random: () => number = Math.random): number =>
  Math.round(Math.min(30_000, 1_000 * 2 ** Math.min(attempt, 10)) * (1 - random() / 4));
