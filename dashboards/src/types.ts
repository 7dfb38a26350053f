// SPDX-License-Identifier: Apache-2.0
// The API's objects, as collector/API.md describes them. Nothing here is checked at run time: the collector is ours, its values are not,
// so every string that may come from a log goes through <LogText> before a person sees it.

export type Level = 0 | 1 | 2 | 3 | 4;
export type AlertStatus = 'new' | 'acknowledged' | 'escalated' | 'closed';
export type CloseReason = 'true_positive' | 'false_positive' | 'benign' | 'duplicate';
export type Scalar = string | number | boolean | null;
export type EcsEvent = Record<string, Scalar | Scalar[]>;

export interface Me {
  user: string;
  display_name: string;
  role: 'analyst' | 'admin';
  must_change_password: boolean;
  csrf: string;
  version: string;
  idle_s: number;
  expires: string;
}

export interface AlertRule {
  id: string;
  title: string;
  title_vi: string | null;
  author: string | null;
  level: Level;
  level_name: string;
  tags: string[];
}

export interface Alert {
  id: string;
  change: string | number;
  rule: AlertRule;
  kind: 'detection' | 'correlation';
  status: AlertStatus;
  close_reason: CloseReason | null;
  owner: string | null;
  demo: boolean;
  agent: string;
  host: string;
  user: string | null;
  source_ip: string | null;
  destination_ip: string | null;
  group: Record<string, Scalar>;
  count: number;
  first: string;
  last: string;
  created: string;
  updated: string;
  incident_id: string | null;
}

export interface Matched {
  field: string;
  name: string;
  value: string;
  pattern: string | null;
  selection: string | null;
}

export interface HistoryEntry {
  at: string;
  user: string;
  action: string;
  detail: Record<string, unknown>;
}

export interface RuleDetail extends AlertRule {
  description?: string | null;
  description_vi?: string | null;
  references?: string[] | null;
  falsepositives?: string[] | null;
  file?: string | null;
  group_by?: string[] | null;
  timespan_s?: number | null;
}

export interface AlertDetail extends Omit<Alert, 'rule'> {
  rule: RuleDetail;
  sentence_vi: string;
  sentence_en: string;
  matched: Matched[];
  event: EcsEvent;
  raw: string | null;
  techniques: string[];
  clauses: { standard: string; clause: string }[];
  history: HistoryEntry[];
}

export interface ArchivedEvent {
  event: EcsEvent;
  raw: string;
  ref: string;
}

export interface AlertGroup {
  rule_id: string;
  rule_title: string;
  rule_title_vi: string | null;
  host: string;
  level: Level;
  count: number;
  new: number;
  first: string;
  last: string;
}

export interface Facets {
  status: Partial<Record<AlertStatus, number>>;
  level: Record<string, number>;
  rule: { id: string; title: string; title_vi: string | null; count: number }[];
  host: { value: string; count: number }[];
}

export interface AlertPage {
  alerts: Alert[];
  total: number;
  facets: Facets;
  change: string | number;
  next: string | null;
  groups?: AlertGroup[];
}

export type DeliveryState = 'queued' | 'sent' | 'acknowledged' | 'rejected';

export interface Incident {
  id: string;
  number: number;
  title: string;
  severity: Level;
  status: 'open' | 'closed';
  note: string;
  demo: boolean;
  created_by: string;
  created: string;
  updated: string;
  alert_count: number;
  delivery_state: DeliveryState | null;
}

export interface IncidentDetail extends Incident {
  alerts: Alert[];
  deliveries: Delivery[];
  history: HistoryEntry[];
}

export interface Delivery {
  id: number;
  incident_id: string;
  incident_number: number;
  state: DeliveryState;
  attempts: number;
  next_try: string | null;
  last_error: string | null;
  success_count: number | null;
  failure_count: number | null;
  pending_count: number | null;
  objects: { id: string; type: string; status: 'success' | 'failure' | 'pending' | null; message: string | null }[];
  created: string;
  sent: string | null;
  acknowledged: string | null;
}

export interface Outbox {
  destination: { name: string | null; url: string | null; enabled: boolean; certificate_not_after: string | null };
  queued: number;
  oldest_queued: string | null;
  last_error: string | null;
  deliveries: Delivery[];
}

export type AgentState = 'active' | 'late' | 'silent' | 'never' | 'revoked';

export interface Agent {
  id: string;
  host: string;
  version: string;
  state: AgentState;
  enrolled: string;
  last_seen: string | null;
  certificate_not_after: string;
  stats: Record<string, unknown>;
  sources: { source: string; last: string }[];
}

export interface Rule {
  id: string;
  title: string;
  title_vi: string | null;
  level: Level;
  kind: 'detection' | 'correlation';
  author: string | null;
  tags: string[];
  file: string;
  hits_24h: number;
}

export interface RuleError {
  file: string;
  line: number;
  column: number;
  error: string;
}

export interface Status {
  version: string;
  now: string;
  uptime_s: number;
  events_per_s: number;
  events_total: string | number;
  rules_loaded: number;
  rule_errors: number;
  agents_active: number;
  agents_total: number;
  disk_free_bytes: string | number;
  archive_bytes: string | number;
  archive_days_left: number | null;
  detection_lag_events: string | number;
  drops: Record<string, string | number>;
}
