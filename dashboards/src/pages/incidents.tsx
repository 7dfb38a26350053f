// SPDX-License-Identifier: Apache-2.0
// The incidents, newest first: what was escalated, how bad, and how far it is on its way to the national centre.
import { useEffect, useState } from 'preact/hooks';
import { get } from '../api';
import { number } from '../format';
import { t, word } from '../i18n';
import { onStream } from '../stream';
import type { DeliveryState, Incident } from '../types';
import { DemoMark, Empty, ErrorBox, errorText, LevelBadge, Loading, LogText, PageHead, StateBadge, Time } from '../ui/bits';
import { Icon } from '../ui/icon';

export const deliveryLook: Record<DeliveryState, 'good' | 'warn' | 'bad' | 'quiet'> = { queued: 'warn', sent: 'quiet', acknowledged: 'good', rejected: 'bad' };

export function DeliveryBadge({ state }: { state: DeliveryState | null }) {
  if (state === null) return <span class="hint">—</span>;
  return (
    <StateBadge look={deliveryLook[state] ?? 'quiet'} icon={state === 'sent' ? 'up' : state === 'queued' ? 'clock' : state === 'acknowledged' ? 'check' : 'cross'}>
      {word('delivery', state) ?? state}
    </StateBadge>
  );
}

interface Page {
  incidents: Incident[];
  next: string | null;
}

export function IncidentsPage() {
  const [page, setPage] = useState<Page | null>(null);
  const [waiting, setWaiting] = useState<readonly string[]>([]);
  const [error, setError] = useState<unknown>(null);

  const load = (cursor: string | null, background = false): void => {
    get<Page>('/api/incidents', { query: { limit: 100, ...(cursor ? { cursor } : {}) }, background })
      .then((more) => {
        setPage((before) => (cursor && before ? { incidents: [...before.incidents, ...more.incidents], next: more.next } : more));
        if (!cursor) setWaiting([]);
        setError(null);
      })
      .catch(setError);
  };
  useEffect(() => {
    load(null);
    const ends = [
      onStream('incident', (incident) => {
        setPage((before) => {
          if (!before) return before;
          if (before.incidents.some(({ id }) => id === incident.id))
            return { ...before, incidents: before.incidents.map((row) => (row.id === incident.id ? incident : row)) };
          // Nothing to move in an empty list; otherwise it waits behind the bar.
          if (before.incidents.length === 0) return { ...before, incidents: [incident] };
          setWaiting((ids) => (ids.includes(incident.id) ? ids : [...ids, incident.id]));
          return before;
        });
      }),
      onStream('reset', () => load(null, true)),
    ];
    return () => ends.forEach((end) => end());
  }, []);

  return (
    <section class="page">
      <PageHead title={t('nav.incidents')} />
      <div class="live-bar" role="status" aria-live="polite">
        {waiting.length > 0 ? (
          <button type="button" class="button show-new" onClick={() => load(null)}>
            <Icon name="up" />
            {t('live.new', { n: number(waiting.length) })}
          </button>
        ) : null}
      </div>
      {error && page ? (
        <p class="notice notice-bad" role="alert">
          <Icon name="warn" />
          {errorText(error)}
        </p>
      ) : null}
      {!page ? (
        error ? (
          <ErrorBox error={error} retry={() => load(null)} />
        ) : (
          <Loading />
        )
      ) : page.incidents.length === 0 ? (
        <Empty icon="incidents" title={t('incidents.none')}>
          <p>{t('incidents.none_hint')}</p>
        </Empty>
      ) : (
        <div class="table-box">
          <table class="cards" role="table">
            <caption class="visually-hidden">{t('incidents.caption')}</caption>
            <thead role="rowgroup">
              <tr role="row">
                {(['col.number', 'incident.severity', 'incident.title', 'col.alerts', 'col.status', 'incident.delivery', 'incident.by', 'col.created'] as const).map((key) => (
                  <th role="columnheader" scope="col" key={key}>
                    {t(key)}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody role="rowgroup">
              {page.incidents.map((incident) => (
                <tr role="row" key={incident.id}>
                  <td role="cell" class="figure" data-label={t('col.number')}>
                    #{incident.number}
                  </td>
                  <td role="cell" data-label={t('incident.severity')}>
                    <LevelBadge level={incident.severity} />
                  </td>
                  <th role="rowheader" scope="row" class="card-title">
                    <a href={`/incidents/${incident.id}`}>
                      <LogText text={incident.title} />
                    </a>{' '}
                    {incident.demo ? <DemoMark /> : null}
                  </th>
                  <td role="cell" class="figure" data-label={t('col.alerts')}>
                    {number(incident.alert_count)}
                  </td>
                  <td role="cell" data-label={t('col.status')}>
                    {word('incident_status', incident.status) ?? incident.status}
                  </td>
                  <td role="cell" data-label={t('incident.delivery')}>
                    <DeliveryBadge state={incident.delivery_state} />
                  </td>
                  <td role="cell" data-label={t('incident.by')}>
                    {incident.created_by}
                  </td>
                  <td role="cell" data-label={t('col.created')}>
                    <Time at={incident.created} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {page?.next ? (
        <button type="button" class="button more" onClick={() => load(page.next)}>
          {t('more')}
        </button>
      ) : null}
    </section>
  );
}
