// SPDX-License-Identifier: Apache-2.0
// What an analyst does to alerts: acknowledge, close, reopen, escalate; the same from the list, the detail and the keyboard. Each call changes
// all of its alerts or none. The answers are told to the pages as if the stream had brought them.
import { signal } from '@preact/signals';
import { post } from './api';
import { number } from './format';
import { t } from './i18n';
import { tell } from './stream';
import type { Alert, AlertStatus, CloseReason, Incident, Level } from './types';
import { errorText } from './ui/bits';
import { toast } from './ui/toast';

export type Subject = Pick<Alert, 'id' | 'status' | 'close_reason' | 'incident_id' | 'demo' | 'host'> & {
  rule: { title: string; title_vi: string | null; level: Level };
};

export type OpenDialog = { kind: 'close' | 'escalate'; alerts: Subject[]; onDone: () => void } | { kind: 'help' } | { kind: 'password' } | null;
export const dialog = signal<OpenDialog>(null);
export const busy = signal(false);

const BATCH = 500; // of the API

export const canAcknowledge = (alert: Subject): boolean => alert.status === 'new';
export const canClose = (alert: Subject): boolean => alert.status !== 'closed';
export const canEscalate = (alert: Subject): boolean => alert.status !== 'closed' && alert.incident_id === null;
export const canReopen = (alert: Subject): boolean => alert.status === 'closed';

interface StatusChange {
  status: AlertStatus;
  reason?: CloseReason;
  comment?: string;
}

async function sendStatus(ids: readonly string[], change: StatusChange): Promise<void> {
  for (let at = 0; at < ids.length; at += BATCH) {
    const answer = await post<{ changed: number; alerts: Alert[] }>('/api/alerts/status', { ids: ids.slice(at, at + BATCH), ...change });
    for (const alert of answer.alerts) tell('alert', alert);
  }
}

async function guarded(work: () => Promise<void>): Promise<boolean> {
  if (busy.value) return false;
  busy.value = true;
  try {
    await work();
    return true;
  } catch (error) {
    toast(errorText(error), { bad: true });
    return false;
  } finally {
    busy.value = false;
  }
}

/** Puts every alert back to the status that it had, one call for each kind of status. */
async function restore(before: readonly Subject[]): Promise<void> {
  const kinds = new Map<string, Subject[]>();
  for (const alert of before) {
    const key = `${alert.status} ${alert.close_reason ?? ''}`;
    kinds.set(key, [...(kinds.get(key) ?? []), alert]);
  }
  await guarded(async () => {
    for (const alerts of kinds.values()) {
      const first = alerts[0];
      if (!first) continue;
      await sendStatus(
        alerts.map((alert) => alert.id),
        { status: first.status, comment: t('undo.comment'), ...(first.close_reason ? { reason: first.close_reason } : {}) },
      );
    }
    toast(t('undo.done'));
  });
}

const skippedText = (skipped: number): string => (skipped > 0 ? ` ${t('action.skipped', { n: skipped })}` : '');

async function changeAll(alerts: readonly Subject[], can: (alert: Subject) => boolean, change: StatusChange, done: 'action.acknowledged' | 'action.closed' | 'action.reopened'): Promise<boolean> {
  const eligible = alerts.filter(can);
  if (eligible.length === 0) {
    if (alerts.length > 0) toast(t('action.none'), { bad: true });
    return false;
  }
  return guarded(async () => {
    await sendStatus(eligible.map((alert) => alert.id), change);
    toast(t(done, { n: eligible.length }) + skippedText(alerts.length - eligible.length), { undo: () => void restore(eligible) });
  });
}

export const acknowledge = (alerts: readonly Subject[]): Promise<boolean> => changeAll(alerts, canAcknowledge, { status: 'acknowledged' }, 'action.acknowledged');

export const close = (alerts: readonly Subject[], reason: CloseReason, comment: string): Promise<boolean> =>
  changeAll(alerts, canClose, { status: 'closed', reason, ...(comment ? { comment } : {}) }, 'action.closed');

/** A reopened alert of an incident goes on being escalated; any other is new again. */
export const reopen = (alert: Subject): Promise<boolean> =>
  changeAll([alert], canReopen, { status: alert.incident_id ? 'escalated' : 'new' }, 'action.reopened');

export async function escalate(alerts: readonly Subject[], title: string, severity: Level, note: string): Promise<boolean> {
  return guarded(async () => {
    const incident = await post<Incident>('/api/incidents', { alert_ids: alerts.map((alert) => alert.id), title, severity, note });
    tell('incident', incident);
    toast(t('action.escalated', { number: number(incident.number) }), { link: { href: `/incidents/${incident.id}`, text: t('action.open_incident') } });
  });
}

/** Opens the dialog for those of the alerts that the action fits. */
export function askClose(alerts: readonly Subject[], onDone: () => void = () => undefined): void {
  const eligible = alerts.filter(canClose);
  if (eligible.length > 0) dialog.value = { kind: 'close', alerts: eligible, onDone };
  else if (alerts.length > 0) toast(t('action.none'), { bad: true });
}

export function askEscalate(alerts: readonly Subject[], onDone: () => void = () => undefined): void {
  const eligible = alerts.filter(canEscalate);
  if (eligible.length === 0) {
    if (alerts.length > 0) toast(t('action.none_escalate'), { bad: true });
  } else if (eligible.length > BATCH) {
    toast(t('action.too_many', { n: BATCH }), { bad: true });
  } else if (eligible.some((alert) => alert.demo) && eligible.some((alert) => !alert.demo)) {
    toast(t('action.demo_mixed'), { bad: true });
  } else {
    dialog.value = { kind: 'escalate', alerts: eligible, onDone };
  }
}
