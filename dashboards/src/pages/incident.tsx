// SPDX-License-Identifier: Apache-2.0
// One incident: its alerts, what was sent to the national centre and what came back, and who did what.
import { useEffect, useRef } from 'preact/hooks';
import { t, word } from '../i18n';
import { localTitle } from '../i18n';
import { onStream } from '../stream';
import type { IncidentDetail } from '../types';
import { DemoMark, ErrorBox, LevelBadge, Loading, LogText, StateBadge, StatusBadge, Time } from '../ui/bits';
import { History } from '../ui/history';
import { useResource } from '../ui/resource';
import { DeliveryTable } from './deliveries';
import { DeliveryBadge } from './incidents';

export function IncidentPage({ id }: { id: string }) {
  const resource = useResource<IncidentDetail>(`/api/incidents/${encodeURIComponent(id)}`);
  const latest = useRef(resource);
  latest.current = resource;
  useEffect(() => {
    const follow = (): void => latest.current.follow();
    const ends = [
      onStream('incident', (incident) => incident.id === id && follow()),
      onStream('outbox', (delivery) => delivery.incident_id === id && follow()),
      onStream('alert', (alert) => alert.incident_id === id && follow()),
      onStream('reset', follow),
    ];
    return () => ends.forEach((end) => end());
  }, [id]);
  const incident = resource.value;
  if (!incident) return <section class="page">{resource.error ? <ErrorBox error={resource.error} retry={resource.reload} /> : <Loading />}</section>;
  return (
    <article class="detail-page">
      <p class="crumb">
        <a href="/incidents">{t('nav.incidents')}</a> <span aria-hidden="true">/</span> #{incident.number}
      </p>
      <h1>
        <LogText text={incident.title} />
      </h1>
      <div class="detail-marks">
        <LevelBadge level={incident.severity} />
        <StateBadge look={incident.status === 'open' ? 'warn' : 'good'} icon={incident.status === 'open' ? 'incidents' : 'check'}>
          {word('incident_status', incident.status) ?? incident.status}
        </StateBadge>
        <DeliveryBadge state={incident.delivery_state} />
        {incident.demo ? <DemoMark /> : null}
      </div>
      {incident.note ? (
        <p class="incident-note">
          <LogText text={incident.note} lines />
        </p>
      ) : null}
      <dl class="facts">
        <div>
          <dt>{t('incident.by')}</dt>
          <dd>{incident.created_by}</dd>
        </div>
        <div>
          <dt>{t('col.created')}</dt>
          <dd>
            <Time at={incident.created} full />
          </dd>
        </div>
        <div>
          <dt>{t('col.updated')}</dt>
          <dd>
            <Time at={incident.updated} full />
          </dd>
        </div>
        <div>
          <dt>{t('detail.id')}</dt>
          <dd class="mono">{incident.id}</dd>
        </div>
      </dl>
      <section>
        <h2>{t('incident.alerts', { n: incident.alerts.length })}</h2>
        <div class="table-box">
          <table class="cards" role="table">
            <caption class="visually-hidden">{t('incident.alerts', { n: incident.alerts.length })}</caption>
            <thead role="rowgroup">
              <tr role="row">
                {(['col.level', 'col.time', 'col.rule', 'col.host', 'detail.source', 'col.status'] as const).map((key) => (
                  <th role="columnheader" scope="col" key={key}>
                    {t(key)}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody role="rowgroup">
              {incident.alerts.map((alert) => (
                <tr role="row" key={alert.id}>
                  <td role="cell" data-label={t('col.level')}>
                    <LevelBadge level={alert.rule.level} />
                  </td>
                  <td role="cell" data-label={t('col.time')}>
                    <Time at={alert.last} />
                  </td>
                  <th role="rowheader" scope="row" class="card-title">
                    <a href={`/alerts/${alert.id}`}>{localTitle(alert.rule)}</a>
                  </th>
                  <td role="cell" data-label={t('col.host')}>
                    <LogText text={alert.host} />
                  </td>
                  <td role="cell" data-label={t('detail.source')}>
                    {alert.source_ip === null ? '' : <LogText text={alert.source_ip} mono />}
                  </td>
                  <td role="cell" data-label={t('col.status')}>
                    <StatusBadge status={alert.status} reason={alert.close_reason} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </section>
      <section>
        <h2>{t('ncsc.deliveries')}</h2>
        <DeliveryTable deliveries={incident.deliveries} showIncident={false} onRetried={resource.reload} />
      </section>
      <section>
        <h2>{t('detail.history')}</h2>
        <History entries={incident.history} />
      </section>
    </article>
  );
}
