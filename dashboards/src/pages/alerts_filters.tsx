// SPDX-License-Identifier: Apache-2.0
// Everything that narrows the list: facets with counts, the search box, time range, order, and the chips that show what is in force.
import type { RefObject } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { fullTime, number, parseTime } from '../format';
import { DEFAULT_FILTER, LEVELS, OPEN_STATUSES, RANGES, SORTS, splitTerms, STATUSES, toggle, type AlertFilter, type RangeName, type Sort } from '../filter';
import { localTitle, t, word } from '../i18n';
import type { Facets } from '../types';
import { LevelBadge, levelName, LogText, StatusBadge } from '../ui/bits';
import { Icon } from '../ui/icon';

type Apply = (change: Partial<AlertFilter>) => void;

export function AlertFilters({ filter, facets, apply, open }: { filter: AlertFilter; facets: Facets | null; apply: Apply; open: boolean }) {
  const count = (n: number | undefined): string => (facets ? number(n ?? 0) : '');
  return (
    <aside id="facets" class={open ? 'facets facets-open' : 'facets'} aria-label={t('filters')}>
        <fieldset>
          <legend>{t('col.status')}</legend>
          {STATUSES.map((status) => (
            <label class="facet" key={status}>
              <input type="checkbox" checked={filter.status.includes(status)} onChange={() => apply({ status: statusAfter(filter, status) })} />
              <StatusBadge status={status} />
              <span class="facet-count">{count(facets?.status[status])}</span>
            </label>
          ))}
        </fieldset>
        <fieldset>
          <legend>{t('col.level')}</legend>
          {LEVELS.map((level) => (
            <label class="facet" key={level}>
              <input type="checkbox" checked={filter.level.includes(level)} onChange={() => apply({ level: toggle(LEVELS, filter.level, level) })} />
              <LevelBadge level={level} />
              <span class="facet-count">{count(facets?.level[String(level)])}</span>
            </label>
          ))}
        </fieldset>
        <fieldset>
          <legend>{t('col.rule')}</legend>
          {(facets?.rule ?? []).map((rule) => (
            <label class="facet" key={rule.id}>
              <input type="checkbox" checked={filter.rule === rule.id} onChange={() => apply({ rule: filter.rule === rule.id ? '' : rule.id })} />
              <span class="facet-text">{localTitle(rule)}</span>
              <span class="facet-count">{count(rule.count)}</span>
            </label>
          ))}
        </fieldset>
        <fieldset>
          <legend>{t('col.host')}</legend>
          {(facets?.host ?? []).map((host) => (
            <label class="facet" key={host.value}>
              <input type="checkbox" checked={filter.host === host.value} onChange={() => apply({ host: filter.host === host.value ? '' : host.value })} />
              <span class="facet-text">
                <LogText text={host.value} />
              </span>
              <span class="facet-count">{count(host.count)}</span>
            </label>
          ))}
        </fieldset>
        <fieldset>
          <legend>{t('demo.legend')}</legend>
          <label class="facet">
            <input type="checkbox" checked={filter.demo} onChange={() => apply({ demo: !filter.demo })} />
            <span class="facet-text">{t('demo.show')}</span>
          </label>
        </fieldset>
    </aside>
  );
}

function statusAfter(filter: AlertFilter, status: (typeof STATUSES)[number]): AlertFilter['status'] {
  const next = toggle(STATUSES, filter.status, status);
  return next.length > 0 ? next : [...OPEN_STATUSES];
}

const toLocalInput = (iso: string): string => {
  const date = parseTime(iso);
  if (!date) return '';
  const two = (n: number): string => String(n).padStart(2, '0');
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}T${two(date.getHours())}:${two(date.getMinutes())}`;
};
const fromLocalInput = (local: string): string => {
  const date = new Date(local);
  return Number.isNaN(date.getTime()) ? '' : date.toISOString();
};

export function Toolbar({ filter, apply, searchRef }: { filter: AlertFilter; apply: Apply; searchRef: RefObject<HTMLInputElement> }) {
  const [q, setQ] = useState(filter.q);
  const [custom, setCustom] = useState(filter.from !== '' || filter.to !== '');
  useEffect(() => setQ(filter.q), [filter.q]);
  const submit = (event: Event): void => {
    event.preventDefault();
    apply({ q: q.trim() });
  };
  const pickRange = (value: string): void => {
    setCustom(value === 'custom');
    if (value !== 'custom') apply({ range: value as RangeName | '', from: '', to: '' });
  };
  return (
    <div class="toolbar">
      <form class="search" role="search" onSubmit={submit}>
        <Icon name="search" />
        <input ref={searchRef} type="search" maxLength={500} aria-label={t('search')} placeholder={t('search.hint')} value={q} spellcheck={false} autocomplete="off" onInput={(event) => setQ(event.currentTarget.value)} />
        <button type="submit" class="button">
          {t('search.do')}
        </button>
      </form>
      <label class="inline-field">
        <span>{t('range')}</span>
        <select value={custom ? 'custom' : filter.range} onChange={(event) => pickRange(event.currentTarget.value)}>
          <option value="">{t('range.all')}</option>
          {(Object.keys(RANGES) as RangeName[]).map((name) => (
            <option key={name} value={name}>
              {t(`range.${name}`)}
            </option>
          ))}
          <option value="custom">{t('range.custom')}</option>
        </select>
      </label>
      {custom ? (
        <>
          <label class="inline-field">
            <span>{t('range.from')}</span>
            <input type="datetime-local" value={toLocalInput(filter.from)} onChange={(event) => apply({ range: '', from: fromLocalInput(event.currentTarget.value) })} />
          </label>
          <label class="inline-field">
            <span>{t('range.to')}</span>
            <input type="datetime-local" value={toLocalInput(filter.to)} onChange={(event) => apply({ range: '', to: fromLocalInput(event.currentTarget.value) })} />
          </label>
        </>
      ) : null}
      <label class="inline-field">
        <span>{t('sort')}</span>
        <select value={filter.sort} onChange={(event) => apply({ sort: event.currentTarget.value as Sort })}>
          {SORTS.map((sort) => (
            <option key={sort} value={sort}>
              {t(`sort.${sort}`)}
            </option>
          ))}
        </select>
      </label>
      <div class="segmented" role="group" aria-label={t('view')}>
        <button type="button" aria-pressed={!filter.grouped} onClick={() => apply({ grouped: false })}>
          {t('view.flat')}
        </button>
        <button type="button" aria-pressed={filter.grouped} onClick={() => apply({ grouped: true })}>
          {t('view.groups')}
        </button>
      </div>
    </div>
  );
}

export function FilterChips({ filter, facets, apply }: { filter: AlertFilter; facets: Facets | null; apply: Apply }) {
  const chips: { key: string; text: preact.ComponentChild; remove: Partial<AlertFilter> }[] = [];
  if (filter.status.join() !== OPEN_STATUSES.join())
    chips.push({ key: 'status', text: `${t('col.status')}: ${filter.status.length === STATUSES.length ? t('status.all') : filter.status.map((s) => word('status', s)).join(', ')}`, remove: { status: [...OPEN_STATUSES] } });
  for (const level of filter.level) chips.push({ key: `level${level}`, text: `${t('col.level')}: ${levelName(level)}`, remove: { level: filter.level.filter((l) => l !== level) } });
  if (filter.rule) {
    const known = facets?.rule.find((rule) => rule.id === filter.rule);
    chips.push({ key: 'rule', text: `${t('col.rule')}: ${known ? localTitle(known) : filter.rule}`, remove: { rule: '' } });
  }
  if (filter.host)
    chips.push({
      key: 'host',
      text: (
        <>
          {t('col.host')}: <LogText text={filter.host} />
        </>
      ),
      remove: { host: '' },
    });
  const terms = splitTerms(filter.q);
  terms.forEach((part, i) =>
    chips.push({ key: `q${i}`, text: <LogText text={part} mono />, remove: { q: terms.filter((_, other) => other !== i).join(' ') } }),
  );
  if (filter.range) chips.push({ key: 'range', text: t(`range.${filter.range}`), remove: { range: '' } });
  const moment = (iso: string): string => {
    const date = parseTime(iso);
    return date ? fullTime(date) : iso;
  };
  if (filter.from) chips.push({ key: 'from', text: `${t('range.from')} ${moment(filter.from)}`, remove: { from: '' } });
  if (filter.to) chips.push({ key: 'to', text: `${t('range.to')} ${moment(filter.to)}`, remove: { to: '' } });
  if (!filter.demo) chips.push({ key: 'demo', text: t('demo.hidden'), remove: { demo: true } });
  if (chips.length === 0) return null;
  return (
    <ul class="chips" aria-label={t('filter.active')}>
      {chips.map(({ key, text, remove }) => (
        <li key={key} class="chip">
          <span>{text}</span>
          <button type="button" class="chip-remove" aria-label={t('filter.remove')} onClick={() => apply(remove)}>
            <Icon name="cross" />
          </button>
        </li>
      ))}
      <li>
        <button type="button" class="button button-plain button-small" onClick={() => apply({ ...DEFAULT_FILTER, grouped: filter.grouped, sort: filter.sort })}>
          {t('filter.clear')}
        </button>
      </li>
    </ul>
  );
}
