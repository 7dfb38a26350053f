// SPDX-License-Identifier: Apache-2.0
// The way to the national centre: is it open, what waits, for how long, what went wrong, and what was acknowledged.
import { useEffect, useRef } from 'preact/hooks';
import { now } from '../clock';
import { duration, number, parseTime } from '../format';
import { t } from '../i18n';
import { onStream } from '../stream';
import type { Outbox } from '../types';
import { Age, ErrorBox, Loading, LogText, PageHead, StateBadge, Time } from '../ui/bits';
import { useResource } from '../ui/resource';
import { DeliveryTable } from './deliveries';

const CERTIFICATE_WARN_DAYS = 30;

export function Expiry({ at }: { at: string }) {
  const date = parseTime(at);
  if (!date) return <>—</>;
  const days = (date.getTime() - now.value.getTime()) / 86_400_000;
  return (
    <>
      <Time at={at} />{' '}
      {days < 0 ? (
        <StateBadge look="bad">{t('certificate.expired')}</StateBadge>
      ) : days < CERTIFICATE_WARN_DAYS ? (
        <StateBadge look="warn">{t('certificate.soon', { left: duration(days * 86_400) })}</StateBadge>
      ) : null}
    </>
  );
}

export function NcscPage() {
  const resource = useResource<Outbox>('/api/outbox');
  const latest = useRef(resource);
  latest.current = resource;
  useEffect(() => {
    const follow = (): void => latest.current.follow();
    const ends = [onStream('outbox', follow), onStream('incident', follow), onStream('reset', follow)];
    return () => ends.forEach((end) => end());
  }, []);
  const outbox = resource.value;
  return (
    <section class="page">
      <PageHead title={t('nav.ncsc_long')} />
      {!outbox ? (
        resource.error ? (
          <ErrorBox error={resource.error} retry={resource.reload} />
        ) : (
          <Loading />
        )
      ) : (
        <>
          <dl class="tiles">
            <div class="tile">
              <dt>{t('ncsc.destination')}</dt>
              <dd>
                {outbox.destination.enabled ? (
                  <StateBadge look={outbox.last_error ? 'warn' : 'good'}>{t(outbox.last_error ? 'ncsc.troubled' : 'ncsc.enabled')}</StateBadge>
                ) : (
                  <StateBadge look="quiet">{t('ncsc.disabled')}</StateBadge>
                )}
                {outbox.destination.name ? (
                  <span class="tile-more">
                    <LogText text={outbox.destination.name} />
                  </span>
                ) : null}
                {outbox.destination.url ? (
                  <span class="tile-more">
                    <LogText text={outbox.destination.url} mono />
                  </span>
                ) : (
                  <span class="tile-more">{t('ncsc.disabled_hint')}</span>
                )}
              </dd>
            </div>
            <div class="tile">
              <dt>{t('ncsc.queued')}</dt>
              <dd>
                <span class="tile-figure">{number(outbox.queued)}</span>
                <span class="tile-more">
                  {outbox.oldest_queued ? (
                    <>
                      {t('ncsc.oldest')} <Age at={outbox.oldest_queued} />
                    </>
                  ) : (
                    t('ncsc.nothing_waits')
                  )}
                </span>
              </dd>
            </div>
            <div class="tile">
              <dt>{t('ncsc.last_error')}</dt>
              <dd class="wrap">
                {outbox.last_error ? (
                  <span class="bad-text">
                    <LogText text={outbox.last_error} />
                  </span>
                ) : (
                  t('ncsc.no_error')
                )}
              </dd>
            </div>
            {outbox.destination.certificate_not_after ? (
              <div class="tile">
                <dt>{t('ncsc.certificate')}</dt>
                <dd>
                  <Expiry at={outbox.destination.certificate_not_after} />
                </dd>
              </div>
            ) : null}
          </dl>
          <h2>{t('ncsc.deliveries')}</h2>
          <DeliveryTable deliveries={outbox.deliveries} showIncident onRetried={resource.reload} />
        </>
      )}
    </section>
  );
}
