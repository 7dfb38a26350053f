// SPDX-License-Identifier: Apache-2.0
// Objects for the tests. They stand for the API's in shape only; the real ones meet the console in tests/e2e.
import type { Alert, AlertPage } from '../src/types';

export const alert = (change: Partial<Alert> = {}): Alert => ({
  id: 'a1',
  change: '1',
  rule: { id: 'r1', title: 'SSH brute force', title_vi: 'Dò mật khẩu SSH', author: 'Vọng Gác', level: 3, level_name: 'high', tags: ['attack.t1110'] },
  kind: 'detection',
  status: 'new',
  close_reason: null,
  owner: null,
  demo: false,
  agent: 'ag1',
  host: 'web01',
  user: null,
  source_ip: '203.0.113.7',
  destination_ip: null,
  group: {},
  count: 1,
  first: '2026-11-23T09:00:00Z',
  last: '2026-11-23T09:00:00Z',
  created: '2026-11-23T09:00:01Z',
  updated: '2026-11-23T09:00:01Z',
  incident_id: null,
  ...change,
});

export const page = (alerts: Alert[], change: string, next: string | null = null): AlertPage => ({
  alerts,
  total: alerts.length,
  facets: { status: {}, level: {}, rule: [], host: [] },
  change,
  next,
});
