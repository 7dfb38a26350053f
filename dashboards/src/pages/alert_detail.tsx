// SPDX-License-Identifier: Apache-2.0
// One alert: why it fired, what matched, the rule and the law behind it, the event's fields with filter-in and filter-out, the raw line,
// the events behind a correlation, and who did what. Shown beside the list (flyout) and as a page of its own.
import { Fragment } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { acknowledge, askClose, askEscalate, busy, canAcknowledge, canClose, canEscalate, canReopen, reopen } from '../actions';
import { duration, number } from '../format';
import { addTerm, DEFAULT_FILTER, filterParams, STATUSES, type AlertFilter } from '../filter';
import { matchedRanges, plain } from '../hostile';
import { lang, localTitle, t, word } from '../i18n';
import { useActions } from '../keys';
import { changeOf } from '../live';
import { path } from '../router';
import { onStream } from '../stream';
import type { AlertDetail, ArchivedEvent, EcsEvent, Matched, Scalar } from '../types';
import { DemoMark, ErrorBox, LevelBadge, Loading, LogText, StatusBadge, Time } from '../ui/bits';
import { History } from '../ui/history';
import { Icon } from '../ui/icon';
import { useResource } from '../ui/resource';

const everything: AlertFilter = { ...DEFAULT_FILTER, status: [...STATUSES] };
const RAW_SHOWN = 16_384;

function Actions({ alert }: { alert: AlertDetail }) {
  return (
    <div class="detail-actions">
      {canAcknowledge(alert) ? (
        <button type="button" class="button button-primary" disabled={busy.value} onClick={() => void acknowledge([alert])}>
          <Icon name="eye" />
          {t('action.acknowledge')}
        </button>
      ) : null}
      {canClose(alert) ? (
        <button type="button" class="button" onClick={() => askClose([alert])}>
          <Icon name="check" />
          {t('action.close')}
        </button>
      ) : null}
      {canEscalate(alert) ? (
        <button type="button" class="button" onClick={() => askEscalate([alert])}>
          <Icon name="up" />
          {t('action.escalate')}
        </button>
      ) : null}
      {canReopen(alert) ? (
        <button type="button" class="button" disabled={busy.value} onClick={() => void reopen(alert)}>
          <Icon name="undo" />
          {t('action.reopen')}
        </button>
      ) : null}
      {alert.incident_id ? (
        <a class="button" href={`/incidents/${alert.incident_id}`}>
          <Icon name="incidents" />
          {t('action.open_incident')}
        </a>
      ) : null}
    </div>
  );
}

function Facts({ alert }: { alert: AlertDetail }) {
  return (
    <dl class="facts">
      <div>
        <dt>{t('col.host')}</dt>
        <dd>
          <LogText text={alert.host} />
        </dd>
      </div>
      {alert.user === null ? null : (
        <div>
          <dt>{t('col.user')}</dt>
          <dd>
            <LogText text={alert.user} />
          </dd>
        </div>
      )}
      {alert.source_ip === null ? null : (
        <div>
          <dt>{t('detail.source')}</dt>
          <dd>
            <LogText text={alert.source_ip} mono />
          </dd>
        </div>
      )}
      {alert.destination_ip === null ? null : (
        <div>
          <dt>{t('detail.destination')}</dt>
          <dd>
            <LogText text={alert.destination_ip} mono />
          </dd>
        </div>
      )}
      {Object.entries(alert.group)
        .filter(([, value]) => value !== alert.host && value !== alert.source_ip && value !== alert.user && value !== alert.destination_ip)
        .map(([field, value]) => (
          <div key={field}>
            <dt class="mono">{field}</dt>
            <dd>
              <LogText text={String(value)} />
            </dd>
          </div>
        ))}
      <div>
        <dt>{t('detail.count')}</dt>
        <dd>{number(alert.count)}</dd>
      </div>
      {alert.first === alert.last ? null : (
        <div>
          <dt>{t('detail.first')}</dt>
          <dd>
            <Time at={alert.first} full />
          </dd>
        </div>
      )}
      <div>
        <dt>{t(alert.first === alert.last ? 'detail.when' : 'detail.last')}</dt>
        <dd>
          <Time at={alert.last} full />
        </dd>
      </div>
      <div>
        <dt>{t('detail.created')}</dt>
        <dd>
          <Time at={alert.created} full />
        </dd>
      </div>
      <div>
        <dt>{t('col.owner')}</dt>
        <dd>{alert.owner ?? t('detail.nobody')}</dd>
      </div>
    </dl>
  );
}

function MatchedFields({ matched }: { matched: readonly Matched[] }) {
  if (matched.length === 0) return null;
  return (
    <section>
      <h3>{t('detail.matched')}</h3>
      <table class="plain-table matched-table" role="table">
        <caption class="visually-hidden">{t('detail.matched')}</caption>
        <thead>
          <tr>
            <th scope="col">{t('detail.field')}</th>
            <th scope="col">{t('detail.value')}</th>
            <th scope="col">{t('detail.pattern')}</th>
          </tr>
        </thead>
        <tbody>
          {matched.map((match, i) => (
            <tr key={i}>
              <th scope="row" class="mono">
                {match.field}
                {match.name && match.name !== match.field ? <small> ({match.name})</small> : null}
              </th>
              <td>
                <LogText text={match.value} mono marks={matchedRanges(match.value, [match])} />
              </td>
              <td>
                {match.pattern === null ? '' : <LogText text={match.pattern} mono />}
                {match.selection ? <small class="selection"> {match.selection}</small> : null}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

/** A URL from a rule may be followed only when it is plainly a web address. */
const isWeb = (url: string): boolean => /^https?:\/\/[^\s]+$/i.test(url);

function RuleCard({ alert }: { alert: AlertDetail }) {
  const { rule } = alert;
  const description = lang.value === 'vi' && rule.description_vi ? rule.description_vi : rule.description;
  return (
    <section>
      <h3>{t('detail.rule')}</h3>
      <div class="rule-card">
        <p class="rule-title">
          <strong>{localTitle(rule)}</strong> <LevelBadge level={rule.level} />
        </p>
        {description ? <p>{description}</p> : null}
        {alert.clauses.length > 0 || alert.techniques.length > 0 ? (
          <ul class="tags" aria-label={t('detail.law')}>
            {alert.clauses.map(({ standard, clause }) => (
              <li class="tag tag-law" key={standard + clause}>
                {word('standard', standard) ?? standard} · {t('detail.clause', { clause })}
              </li>
            ))}
            {alert.techniques.map((id) => (
              <li class="tag" key={id}>
                ATT&CK {id}
              </li>
            ))}
          </ul>
        ) : null}
        <dl class="facts">
          <div>
            <dt>{t('detail.author')}</dt>
            <dd>{rule.author ?? t('detail.unknown')}</dd>
          </div>
          {rule.group_by && rule.group_by.length > 0 ? (
            <div>
              <dt>{t('detail.group_by')}</dt>
              <dd class="mono">{rule.group_by.join(', ')}</dd>
            </div>
          ) : null}
          {rule.timespan_s ? (
            <div>
              <dt>{t('detail.timespan')}</dt>
              <dd>{duration(rule.timespan_s)}</dd>
            </div>
          ) : null}
          {rule.file ? (
            <div>
              <dt>{t('detail.file')}</dt>
              <dd class="mono">{rule.file}</dd>
            </div>
          ) : null}
          <div>
            <dt>{t('detail.id')}</dt>
            <dd class="mono">{rule.id}</dd>
          </div>
        </dl>
        {rule.falsepositives && rule.falsepositives.length > 0 ? (
          <>
            <h4>{t('detail.falsepositives')}</h4>
            <ul>
              {rule.falsepositives.map((text) => (
                <li key={text}>{text}</li>
              ))}
            </ul>
          </>
        ) : null}
        {rule.references && rule.references.length > 0 ? (
          <>
            <h4>{t('detail.references')}</h4>
            <ul class="references">
              {rule.references.map((url) => (
                <li key={url}>
                  {isWeb(url) ? (
                    <a href={url} target="_blank" rel="noopener noreferrer">
                      <LogText text={url} />
                    </a>
                  ) : (
                    <LogText text={url} />
                  )}
                </li>
              ))}
            </ul>
          </>
        ) : null}
      </div>
    </section>
  );
}

function Fields({ event, matched, base, openInList }: { event: EcsEvent; matched: readonly Matched[]; base: AlertFilter; openInList: string | null }) {
  const names = new Set(matched.map((match) => match.field));
  const rows = Object.entries(event)
    .filter(([field]) => field !== 'event.original')
    .sort(([a], [b]) => a.localeCompare(b));
  const href = (field: string, value: Scalar, exclude: boolean): string => {
    const params = filterParams({ ...base, q: addTerm(base.q, field, String(value), exclude) });
    if (openInList) params.set('open', openInList);
    return path('/alerts', params);
  };
  return (
    <table class="plain-table fields" role="table">
      <caption class="visually-hidden">{t('detail.fields')}</caption>
      <thead>
        <tr>
          <th scope="col">{t('detail.field')}</th>
          <th scope="col">{t('detail.value')}</th>
        </tr>
      </thead>
      <tbody>
        {rows.map(([field, value]) => (
          <tr key={field} class={names.has(field) ? 'field-matched' : ''}>
            <th scope="row" class="mono">
              {field}
              {names.has(field) ? <span class="visually-hidden"> ({t('detail.matched_mark')})</span> : null}
            </th>
            <td>
              {(Array.isArray(value) ? value : [value]).map((item, i) => (
                <div class="field-value" key={i}>
                  <LogText text={String(item)} mono marks={matchedRanges(String(item), matched.filter((match) => match.field === field))} />
                  <span class="field-actions">
                    <a class="icon-button" href={href(field, item, false)} aria-label={t('filter.in', { field, value: plain(String(item), 60) })} title={t('filter.in_short')}>
                      <Icon name="plus" />
                    </a>
                    <a class="icon-button" href={href(field, item, true)} aria-label={t('filter.out', { field, value: plain(String(item), 60) })} title={t('filter.out_short')}>
                      <Icon name="minus" />
                    </a>
                  </span>
                </div>
              ))}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Raw({ raw, matched }: { raw: string; matched: readonly Needle[] }) {
  const [whole, setWhole] = useState(false);
  const [copied, setCopied] = useState(false);
  const shown = whole ? raw : raw.slice(0, RAW_SHOWN);
  const copy = (): void => {
    void navigator.clipboard
      ?.writeText(raw)
      .then(() => setCopied(true))
      .catch(() => undefined);
  };
  return (
    <div class="raw-box">
      <pre class="raw" tabIndex={0} role="group" aria-label={t('detail.raw')}>
        <LogText text={shown} marks={matchedRanges(shown, matched)} />
      </pre>
      <div class="raw-actions">
        <button type="button" class="button button-small" onClick={copy}>
          {t(copied ? 'copied' : 'copy')}
        </button>
        {raw.length > shown.length ? (
          <button type="button" class="button button-small" onClick={() => setWhole(true)}>
            {t('detail.raw_all', { n: number(raw.length) })}
          </button>
        ) : null}
      </div>
    </div>
  );
}

interface Needle {
  value: string;
  pattern: string | null;
}

/** What to highlight in raw lines: what the rule matched, and what a correlation counted by. */
const needles = (alert: AlertDetail): Needle[] => [
  ...alert.matched,
  ...Object.values(alert.group).map((value) => ({ value: String(value), pattern: null })),
];

function EventsBehind({ alert, base, openInList }: { alert: AlertDetail; base: AlertFilter; openInList: string | null }) {
  const events = useResource<{ events: ArchivedEvent[]; missing: number }>(`/api/alerts/${alert.id}/events`);
  const [open, setOpen] = useState<string | null>(null);
  useEffect(() => {
    if (events.value) events.follow();
  }, [alert.count]);
  if (events.error && !events.value) return <ErrorBox error={events.error} retry={events.reload} />;
  if (!events.value) return <Loading rows={3} />;
  const { events: list, missing } = events.value;
  const { matched } = alert;
  const marks = needles(alert);
  return (
    <>
      {list.length < alert.count ? <p class="hint">{t('events.some', { shown: number(list.length), n: number(alert.count) })}</p> : null}
      {missing > 0 ? (
        <p class="notice notice-bad">
          <Icon name="warn" />
          {t('events.missing', { n: number(missing) })}
        </p>
      ) : null}
      <table class="plain-table events" role="table">
        <caption class="visually-hidden">{t('detail.events')}</caption>
        <thead>
          <tr>
            <th scope="col">{t('col.time')}</th>
            <th scope="col">{t('detail.raw')}</th>
          </tr>
        </thead>
        <tbody>
          {list.map((item) => {
            const time = item.event['@timestamp'];
            const expanded = open === item.ref;
            return (
              <Fragment key={item.ref}>
                <tr>
                  <td class="nowrap">
                    <button type="button" class="expander" aria-expanded={expanded} onClick={() => setOpen(expanded ? null : item.ref)}>
                      <Icon name={expanded ? 'down' : 'right'} />
                      {typeof time === 'string' ? <Time at={time} /> : '—'}
                      <span class="visually-hidden"> {t('events.fields')}</span>
                    </button>
                  </td>
                  <td class="event-raw">
                    <LogText text={item.raw.slice(0, 2_000)} mono marks={matchedRanges(item.raw.slice(0, 2_000), marks)} />
                  </td>
                </tr>
                {expanded ? (
                  <tr>
                    <td colSpan={2}>
                      <Fields event={item.event} matched={matched} base={base} openInList={openInList} />
                    </td>
                  </tr>
                ) : null}
              </Fragment>
            );
          })}
        </tbody>
      </table>
    </>
  );
}

function Body({ alert, base, openInList }: { alert: AlertDetail; base: AlertFilter; openInList: string | null }) {
  const sentence = lang.value === 'vi' ? alert.sentence_vi : alert.sentence_en;
  return (
    <>
      <div class="detail-marks">
        <LevelBadge level={alert.rule.level} />
        <StatusBadge status={alert.status} reason={alert.close_reason} />
        {alert.demo ? <DemoMark /> : null}
      </div>
      <p class="sentence">
        <LogText text={sentence} />
      </p>
      <Actions alert={alert} />
      <Facts alert={alert} />
      <MatchedFields matched={alert.matched} />
      {alert.raw !== null && alert.raw !== '' ? (
        <section>
          <h3>{t(alert.kind === 'correlation' ? 'detail.raw_last' : 'detail.raw')}</h3>
          <Raw raw={alert.raw} matched={needles(alert)} />
        </section>
      ) : null}
      {alert.kind === 'correlation' ? (
        <section>
          <h3>{t('detail.events')}</h3>
          <EventsBehind alert={alert} base={base} openInList={openInList} />
        </section>
      ) : null}
      <RuleCard alert={alert} />
      <section>
        <h3>{t('detail.fields')}</h3>
        <Fields event={alert.event} matched={alert.matched} base={base} openInList={openInList} />
      </section>
      <section>
        <h3>{t('detail.history')}</h3>
        <History entries={alert.history} />
      </section>
    </>
  );
}

/** The alert, asked again when the stream says that it changed. */
function useAlert(id: string) {
  const alert = useResource<AlertDetail>(`/api/alerts/${encodeURIComponent(id)}`);
  const latest = useRef(alert);
  latest.current = alert;
  useEffect(() => {
    const ends = [
      onStream('alert', (news) => {
        const { value, follow } = latest.current;
        if (news.id === id && (!value || changeOf(news.change) > changeOf(value.change))) follow();
      }),
      onStream('reset', () => latest.current.follow()),
    ];
    return () => ends.forEach((end) => end());
  }, [id]);
  return alert;
}

export function AlertDetailPanel({ id, base, openInList, onClose }: { id: string; base: AlertFilter; openInList: string; onClose: () => void }) {
  const alert = useAlert(id);
  const heading = useRef<HTMLHeadingElement>(null);
  const panel = useRef<HTMLElement>(null);
  useEffect(() => {
    panel.current?.scrollTo(0, 0);
    // On a narrow screen the flyout covers the list, so the focus has to come along; beside the list it stays where it is.
    if (matchMedia('(max-width: 60rem)').matches) heading.current?.focus();
  }, [id]);
  return (
    <aside ref={panel} class="flyout" aria-labelledby="flyout-title">
      <div class="flyout-head">
        <h2 id="flyout-title" ref={heading} tabIndex={-1}>
          {alert.value ? localTitle(alert.value.rule) : t('alert')}
        </h2>
        <a class="icon-button" href={`/alerts/${id}`} aria-label={t('detail.page')} title={t('detail.page')}>
          <Icon name="open" />
        </a>
        <button type="button" class="icon-button" aria-label={t('detail.close')} title={t('detail.close')} onClick={onClose}>
          <Icon name="cross" />
        </button>
      </div>
      <div class="flyout-body">
        {alert.value ? <Body alert={alert.value} base={base} openInList={openInList} /> : alert.error ? <ErrorBox error={alert.error} retry={alert.reload} /> : <Loading rows={6} />}
      </div>
    </aside>
  );
}

export function AlertPage({ id }: { id: string }) {
  const alert = useAlert(id);
  const { value } = alert;
  useActions(
    value ? { acknowledge: () => void acknowledge([value]), close: () => askClose([value]), escalate: () => askEscalate([value]) } : {},
  );
  return (
    <article class="detail-page">
      <p class="crumb">
        <a href="/alerts">{t('nav.alerts')}</a> <span aria-hidden="true">/</span> <span class="mono">{id.slice(0, 12)}</span>
      </p>
      <h1>{value ? localTitle(value.rule) : t('alert')}</h1>
      {value ? <Body alert={value} base={everything} openInList={null} /> : alert.error ? <ErrorBox error={alert.error} retry={alert.reload} /> : <Loading />}
    </article>
  );
}
