// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { parseFilter } from '../src/filter';
import { AlertsModel, groupKey } from '../src/pages/alerts_model';
import { tell } from '../src/stream';
import { fakeFetch, settle, type Call } from './fake_api';
import { alert, page } from './samples';

let calls: Call[];
let model: AlertsModel;
let stop: () => void;
const filter = (query = ''): ReturnType<typeof parseFilter> => parseFilter(new URLSearchParams(query));
const rows = (): string[] => model.list.value.rows.map((row) => row.id);

beforeEach(() => {
  calls = fakeFetch();
  model = new AlertsModel();
  stop = model.start();
});
afterEach(() => {
  stop();
  vi.unstubAllGlobals();
});

describe('the alerts page’s model', () => {
  it('shows the answer of the newest load, whichever comes first', async () => {
    void model.load(filter('host=web01'));
    void model.load(filter('host=web02'));
    calls[1]?.answer(200, page([alert({ id: 'second' })], '9'));
    calls[0]?.answer(200, page([alert({ id: 'first' })], '9'));
    await settle();
    expect(rows()).toEqual(['second']);
  });
  it('takes in what arrives while it loads', async () => {
    void model.load(filter());
    tell('alert', alert({ id: 'a', change: '7', count: 2 }));
    tell('alert', alert({ id: 'n', change: '8' }));
    tell('alert', alert({ id: 'old', change: '5' }));
    calls[0]?.answer(200, page([alert({ id: 'a', change: '4' })], '6'));
    await settle();
    expect(rows()).toEqual(['a']);
    expect(model.list.value.rows[0]?.count).toBe(2);
    expect([...model.list.value.waiting.keys()]).toEqual(['n']);
  });
  it('keeps selection and current row when new alerts are shown', async () => {
    void model.load(filter());
    calls[0]?.answer(200, page([alert({ id: 'a', change: '1' }), alert({ id: 'b', change: '2' })], '2'));
    await settle();
    model.select(['b'], true);
    model.setCurrent('a');
    tell('alert', alert({ id: 'n', change: '3' }));
    expect(rows()).toEqual(['a', 'b']);
    expect(model.waitingCount.value).toBe(1);
    void model.showNew();
    expect(rows()).toEqual(['a', 'b']); // until the answer is there
    calls[1]?.answer(200, page([alert({ id: 'n', change: '3' }), alert({ id: 'a', change: '1' }), alert({ id: 'b', change: '2' })], '3'));
    await settle();
    expect(rows()).toEqual(['n', 'a', 'b']);
    expect([...model.selection.value]).toEqual(['b']);
    expect(model.current.value).toBe('a');
    expect([...model.fresh.value]).toEqual(['n']);
    expect(model.waitingCount.value).toBe(0);
  });
  it('leaves an escalated or closed row in its place', async () => {
    void model.load(filter('status=new'));
    calls[0]?.answer(200, page([alert({ id: 'a', change: '1' })], '1'));
    await settle();
    tell('alert', alert({ id: 'a', change: '2', status: 'closed' }));
    expect(model.list.value.rows[0]?.status).toBe('closed');
  });
  it('pauses: no news is counted, what is shown still tells the truth, and resuming asks anew', async () => {
    void model.load(filter());
    calls[0]?.answer(200, page([alert({ id: 'a', change: '1' })], '1'));
    await settle();
    model.pause();
    tell('alert', alert({ id: 'n', change: '2' }));
    tell('alert', alert({ id: 'a', change: '3', status: 'acknowledged' }));
    expect(model.waitingCount.value).toBe(0);
    expect(model.list.value.rows[0]?.status).toBe('acknowledged');
    void model.resume();
    expect(calls).toHaveLength(2);
  });
  it('asks the server which new alerts belong to a search', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      void model.load(filter('q=root'));
      calls[0]?.answer(200, page([alert({ id: 'a', change: '1' })], '1'));
      await vi.advanceTimersByTimeAsync(0);
      tell('alert', alert({ id: 'yes', change: '2' }));
      tell('alert', alert({ id: 'no', change: '3' }));
      expect(model.waitingCount.value).toBe(0);
      await vi.advanceTimersByTimeAsync(2_100);
      expect(calls[1]?.headers.get('X-Background')).toBe('1');
      expect(calls[1]?.url.searchParams.get('q')).toBe('root');
      calls[1]?.answer(200, page([alert({ id: 'yes', change: '2' }), alert({ id: 'a', change: '1' })], '3'));
      await vi.advanceTimersByTimeAsync(0);
      expect([...model.list.value.waiting.keys()]).toEqual(['yes']);
    } finally {
      vi.useRealTimers();
    }
  });
  it('shows the first alert of an empty list by itself', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      void model.load(filter());
      calls[0]?.answer(200, page([], '0'));
      await vi.advanceTimersByTimeAsync(0);
      tell('alert', alert({ id: 'n', change: '1' }));
      await vi.advanceTimersByTimeAsync(100);
      calls[1]?.answer(200, page([alert({ id: 'n', change: '1' })], '1'));
      await vi.advanceTimersByTimeAsync(0);
      expect(rows()).toEqual(['n']);
    } finally {
      vi.useRealTimers();
    }
  });
  it('keeps what is shown when a refresh fails, and says so', async () => {
    void model.load(filter());
    calls[0]?.answer(200, page([alert({ id: 'a' })], '1'));
    await settle();
    void model.showNew();
    calls[1]?.answer(500, { error: { code: 'internal', message: 'x' } });
    await settle();
    expect(rows()).toEqual(['a']);
    expect(model.error.value).toMatchObject({ code: 'internal' });
    expect(model.phase.value).toBe('ready');
  });
  it('opens groups, walks through them, and selects across a range', async () => {
    const group = { rule_id: 'r1', rule_title: 'x', rule_title_vi: null, host: 'web01', level: 3 as const, count: 3, new: 3, first: '', last: '' };
    const key = groupKey(group);
    void model.load(filter('view=groups'));
    calls[0]?.answer(200, { ...page([alert({ id: 'ignored' })], '1'), groups: [group] });
    await settle();
    expect(calls[0]?.url.searchParams.get('group')).toBe('1');
    expect(model.stops.value).toEqual([`g${key}`]);
    model.toggleGroup(key);
    expect(calls[1]?.url.searchParams.get('rule')).toBe('r1');
    calls[1]?.answer(200, page(['a', 'b', 'c'].map((id) => alert({ id })), '1'));
    await settle();
    expect(model.stops.value).toEqual([`g${key}`, 'a', 'b', 'c']);
    model.onSelect('a', true, false);
    model.onSelect('c', true, true);
    expect([...model.selection.value].sort()).toEqual(['a', 'b', 'c']);
  });
});
