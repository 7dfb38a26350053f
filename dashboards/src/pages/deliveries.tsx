// SPDX-License-Identifier: Apache-2.0
// Deliveries to the national centre: state, tries, the last error, and for every object what the peer said of it.
import { Fragment } from 'preact';
import { useState } from 'preact/hooks';
import { post } from '../api';
import { number } from '../format';
import { t, word } from '../i18n';
import type { Delivery } from '../types';
import { Empty, errorText, LogText, StateBadge, Time } from '../ui/bits';
import { Icon } from '../ui/icon';
import { toast } from '../ui/toast';
import { DeliveryBadge } from './incidents';

const objectLook = { success: 'good', failure: 'bad', pending: 'warn' } as const;

function Objects({ delivery }: { delivery: Delivery }) {
  return (
    <table class="plain-table" role="table">
      <caption class="visually-hidden">{t('ncsc.objects')}</caption>
      <thead>
        <tr>
          <th scope="col">{t('ncsc.object_type')}</th>
          <th scope="col">{t('ncsc.object_id')}</th>
          <th scope="col">{t('ncsc.object_status')}</th>
        </tr>
      </thead>
      <tbody>
        {delivery.objects.map((object) => (
          <tr key={object.id}>
            <td class="nowrap">{object.type}</td>
            <td>
              <LogText text={object.id} mono />
            </td>
            <td>
              {object.status === null ? (
                <span class="hint">{t('object.unknown')}</span>
              ) : (
                <StateBadge look={objectLook[object.status] ?? 'quiet'}>{word('object', object.status) ?? object.status}</StateBadge>
              )}
              {object.message ? (
                <small>
                  {' '}
                  <LogText text={object.message} />
                </small>
              ) : null}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

export function DeliveryTable({ deliveries, showIncident, onRetried }: { deliveries: readonly Delivery[]; showIncident: boolean; onRetried: () => void }) {
  const [open, setOpen] = useState<ReadonlySet<number>>(new Set());
  const flip = (id: number): void => {
    const next = new Set(open);
    if (!next.delete(id)) next.add(id);
    setOpen(next);
  };
  const retry = async (delivery: Delivery): Promise<void> => {
    try {
      await post(`/api/outbox/${delivery.id}/retry`);
      toast(t('ncsc.retried'));
      onRetried();
    } catch (error) {
      toast(errorText(error), { bad: true });
    }
  };
  if (deliveries.length === 0)
    return (
      <Empty icon="ncsc" title={t('ncsc.none')}>
        <p>{t('ncsc.none_hint')}</p>
      </Empty>
    );
  return (
    <div class="table-box">
      <table class="cards" role="table">
        <caption class="visually-hidden">{t('ncsc.deliveries')}</caption>
        <thead role="rowgroup">
          <tr role="row">
            <th role="columnheader" scope="col">
              {t('col.status')}
            </th>
            {showIncident ? (
              <th role="columnheader" scope="col">
                {t('incident')}
              </th>
            ) : null}
            {(['ncsc.objects', 'ncsc.attempts', 'col.created', 'ncsc.sent', 'ncsc.answered', 'ncsc.next_or_error'] as const).map((key) => (
              <th role="columnheader" scope="col" key={key}>
                {t(key)}
              </th>
            ))}
            <th role="columnheader" scope="col">
              <span class="visually-hidden">{t('col.actions')}</span>
            </th>
          </tr>
        </thead>
        <tbody role="rowgroup">
          {deliveries.map((delivery) => {
            const expanded = open.has(delivery.id);
            const waits = delivery.state === 'queued' || delivery.state === 'rejected';
            return (
              <Fragment key={delivery.id}>
                <tr role="row">
                  <td role="cell" data-label={t('col.status')}>
                    <DeliveryBadge state={delivery.state} />
                  </td>
                  {showIncident ? (
                    <th role="rowheader" scope="row" class="card-title">
                      <a href={`/incidents/${delivery.incident_id}`}>
                        {t('incident')} #{delivery.incident_number}
                      </a>
                    </th>
                  ) : null}
                  <td role="cell" data-label={t('ncsc.objects')}>
                    <button type="button" class="expander" aria-expanded={expanded} onClick={() => flip(delivery.id)}>
                      <Icon name={expanded ? 'down' : 'right'} />
                      {delivery.success_count === null || delivery.state === 'queued'
                        ? number(delivery.objects.length)
                        : t('ncsc.counts', { ok: number(delivery.success_count), n: number(delivery.objects.length) })}
                      <span class="visually-hidden"> {t('ncsc.objects')}</span>
                    </button>
                  </td>
                  <td role="cell" class="figure" data-label={t('ncsc.attempts')}>
                    {number(delivery.attempts)}
                  </td>
                  <td role="cell" data-label={t('col.created')}>
                    <Time at={delivery.created} />
                  </td>
                  <td role="cell" data-label={t('ncsc.sent')}>
                    {delivery.sent ? <Time at={delivery.sent} /> : '—'}
                  </td>
                  <td role="cell" data-label={t('ncsc.answered')}>
                    {delivery.acknowledged ? <Time at={delivery.acknowledged} /> : '—'}
                  </td>
                  <td role="cell" data-label={t('ncsc.next_or_error')} class="wrap">
                    {delivery.last_error ? (
                      <span class="bad-text">
                        <LogText text={delivery.last_error} />
                      </span>
                    ) : null}
                    {delivery.next_try ? (
                      <span class="hint">
                        {' '}
                        {t('ncsc.next')} <Time at={delivery.next_try} />
                      </span>
                    ) : null}
                    {!delivery.last_error && !delivery.next_try ? '—' : null}
                  </td>
                  <td role="cell" class="card-actions">
                    {waits ? (
                      <button type="button" class="button button-small" onClick={() => void retry(delivery)}>
                        <Icon name="retry" />
                        {t('ncsc.retry')}
                      </button>
                    ) : null}
                  </td>
                </tr>
                {expanded ? (
                  <tr role="row" class="card-more">
                    <td role="cell" colSpan={showIncident ? 9 : 8}>
                      <Objects delivery={delivery} />
                    </td>
                  </tr>
                ) : null}
              </Fragment>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
