// SPDX-License-Identifier: Apache-2.0
// The alerts page: filters in the URL, the list with its bar of waiting alerts, selection and bulk actions, the keyboard, and the flyout.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { acknowledge, askClose, askEscalate } from '../actions';
import { number } from '../format';
import { filterParams, parseFilter, type AlertFilter } from '../filter';
import { t } from '../i18n';
import { useActions } from '../keys';
import { neighbour } from '../live';
import { navigate, path } from '../router';
import type { Alert } from '../types';
import { Empty, ErrorBox, errorText, Loading } from '../ui/bits';
import { Icon } from '../ui/icon';
import { AlertDetailPanel } from './alert_detail';
import { AlertFilters, FilterChips, Toolbar } from './alerts_filters';
import { AlertTable } from './alerts_table';
import { AlertsModel, MOST_ROWS } from './alerts_model';

/** Rows are found by id in the page, since focus is the browser's and not ours. */
const focusStop = (id: string): void => {
  const row = document.querySelector(`[data-stop="${CSS.escape(id)}"]`);
  const target = row?.querySelector<HTMLElement>('.row-main');
  target?.focus({ preventScroll: true });
  row?.scrollIntoView({ block: 'nearest' });
};

export function AlertsPage({ params }: { params: URLSearchParams }) {
  const model = useMemo(() => new AlertsModel(), []);
  const wanted = parseFilter(params);
  const filterKey = filterParams(wanted).toString();
  const filter = useMemo(() => wanted, [filterKey]);
  const openId = params.get('open');
  const [facetsOpen, setFacetsOpen] = useState(false);
  const search = useRef<HTMLInputElement>(null);

  useEffect(() => model.start(), [model]);
  useEffect(() => void model.load(filter), [model, filter]);
  useEffect(() => {
    const waiting = model.waitingCount.value;
    document.title = `${waiting > 0 ? `(${waiting}) ` : ''}${t('nav.alerts')} · Vọng Gác`;
  });

  const url = (next: AlertFilter, open: string | null): string => {
    const query = filterParams(next);
    if (open) query.set('open', open);
    return path('/alerts', query);
  };
  const apply = (change: Partial<AlertFilter>): void => navigate(url({ ...filter, ...change }, openId));
  const show = (id: string | null, how: 'push' | 'replace' = 'push'): void => navigate(url(filter, id), how);

  const move = (step: 1 | -1): void => {
    const id = neighbour(model.stops.value, model.current.value, step);
    if (id === null) return;
    model.current.value = id;
    // With the flyout open the list is read with j and k: the flyout follows, without filling the history.
    if (openId && !id.startsWith('g')) show(id, 'replace');
    focusStop(id);
  };
  const groupIds = (key: string): readonly Alert[] => model.byGroup.value.get(key) ?? [];
  /** What a key acts on: the selection; else the current row; else what the flyout shows. */
  const subjects = (): readonly Alert[] => {
    const selected = model.selected;
    if (selected.length > 0) return selected;
    const current = model.current.value ?? openId;
    if (current === null) return [];
    if (current.startsWith('g')) return groupIds(current.slice(1));
    const alert = model.alert(current);
    return alert ? [alert] : [];
  };
  const toggleGroupSelection = async (key: string, on: boolean): Promise<void> => {
    const alerts = on ? await model.loadGroup(key, false) : groupIds(key);
    model.select(alerts.map((alert) => alert.id), on);
  };
  const selectNone = (): void => void (model.selection.value = new Set());
  const dismiss = (): void => {
    const focus = document.activeElement;
    if (focus instanceof HTMLElement && focus.matches('input:not([type=checkbox]), select, textarea')) {
      focus.blur(); // out of the field first, whatever else is open
    } else if (openId) {
      show(null);
      if (model.current.value) focusStop(model.current.value);
    } else if (model.selection.value.size > 0) {
      selectNone();
    }
  };
  const togglePause = (): void => {
    if (model.paused.value) void model.resume();
    else model.pause();
  };
  useActions({
    next: () => move(1),
    previous: () => move(-1),
    open: () => {
      const current = model.current.value;
      if (current?.startsWith('g')) model.toggleGroup(current.slice(1));
      else if (current) show(current);
    },
    select: () => {
      const current = model.current.value;
      if (current?.startsWith('g')) {
        const key = current.slice(1);
        const rows = groupIds(key);
        void toggleGroupSelection(key, rows.length === 0 || rows.some((row) => !model.selection.value.has(row.id)));
      } else if (current) {
        model.select([current], !model.selection.value.has(current));
      }
    },
    acknowledge: () => void acknowledge(subjects()).then((done) => done && selectNone()),
    close: () => askClose(subjects(), selectNone),
    escalate: () => askEscalate(subjects(), selectNone),
    search: () => (search.current?.focus(), search.current?.select()),
    show_new: () => void model.showNew(),
    pause: togglePause,
    dismiss,
  });

  const list = model.list.value;
  const waiting = model.waitingCount.value;
  const empty = filter.grouped ? model.groups.value.length === 0 : list.rows.length === 0;
  const filtered = filterKey.replace(/(^|&)(view|sort)=[^&]*/g, '') !== '';

  return (
    <div class={openId ? 'alerts-page with-flyout' : 'alerts-page'}>
      <AlertFilters filter={filter} facets={model.facets.value} apply={apply} open={facetsOpen} />
      <section class="alerts-main" aria-labelledby="alerts-title">
        <div class="alerts-head">
          <h1 id="alerts-title">
            {t('nav.alerts')}{' '}
            <span class="count">{model.phase.value === 'ready' ? t('alerts.total', { n: number(model.total.value) }) : ''}</span>
          </h1>
          <button type="button" class="button facets-toggle" aria-expanded={facetsOpen} aria-controls="facets" onClick={() => setFacetsOpen(!facetsOpen)}>
            <Icon name="filter" />
            {t('filters')}
          </button>
        </div>
        <Toolbar filter={filter} apply={apply} searchRef={search} />
        <FilterChips filter={filter} facets={model.facets.value} apply={apply} />
        <div class="live-bar">
          <div role="status" aria-live="polite">
          {model.paused.value ? (
            <p class="live-paused">{t('live.paused')}</p>
          ) : waiting > 0 ? (
            <button type="button" class="button show-new" onClick={() => void model.showNew()}>
              <Icon name="up" />
              {t('live.new', { n: waiting >= 10_000 ? '10.000+' : number(waiting) })}
            </button>
          ) : null}
          </div>
          <button type="button" class={model.paused.value ? 'button button-warn live-bar-end' : 'button live-bar-end'} aria-pressed={model.paused.value} onClick={togglePause}>
            <Icon name={model.paused.value ? 'play' : 'pause'} />
            {t(model.paused.value ? 'live.resume' : 'live.pause')}
          </button>
        </div>
        {model.error.value && model.phase.value === 'ready' ? (
          <p class="notice notice-bad" role="alert">
            <Icon name="warn" />
            {errorText(model.error.value)}
          </p>
        ) : null}
        {model.phase.value === 'failed' ? (
          <ErrorBox error={model.error.value} retry={() => void model.load(filter)} />
        ) : model.phase.value === 'loading' ? (
          <Loading rows={12} />
        ) : empty ? (
          <Empty icon={filtered ? 'search' : 'check'} title={t(filtered ? 'alerts.none_found' : 'alerts.none')}>
            <p>{t(filtered ? 'alerts.none_found_hint' : 'alerts.none_hint')}</p>
            {filtered ? (
              <a class="button" href="/alerts">
                {t('filter.clear')}
              </a>
            ) : null}
          </Empty>
        ) : (
          <AlertTable model={model} filter={filter} openId={openId} url={url} apply={apply} onGroupSelect={toggleGroupSelection} />
        )}
        {!filter.grouped && list.next !== null && model.phase.value === 'ready' ? (
          list.rows.length < MOST_ROWS ? (
            <button type="button" class="button more" disabled={model.loadingMore.value} onClick={() => void model.more()}>
              {t('alerts.more', { shown: number(list.rows.length), n: number(model.total.value) })}
            </button>
          ) : (
            <p class="hint">{t('alerts.narrow', { n: number(MOST_ROWS) })}</p>
          )
        ) : null}
        <BulkBar model={model} />
      </section>
      {openId ? <AlertDetailPanel key="flyout" id={openId} base={filter} openInList={openId} onClose={dismiss} /> : null}
    </div>
  );
}

function BulkBar({ model }: { model: AlertsModel }) {
  const size = model.selection.value.size;
  const selectNone = (): void => void (model.selection.value = new Set());
  return (
    <div class={size > 0 ? 'bulk' : 'bulk bulk-none'} role="region" aria-label={t('bulk')}>
      {size > 0 ? (
        <>
          <strong>{t('bulk.selected', { n: number(size) })}</strong>
          <button type="button" class="button button-primary" onClick={() => void acknowledge(model.selected).then((done) => done && selectNone())}>
            <Icon name="eye" />
            {t('action.acknowledge')}
          </button>
          <button type="button" class="button" onClick={() => askClose(model.selected, selectNone)}>
            <Icon name="check" />
            {t('action.close')}
          </button>
          <button type="button" class="button" onClick={() => askEscalate(model.selected, selectNone)}>
            <Icon name="up" />
            {t('action.escalate')}
          </button>
          <button type="button" class="button button-plain" onClick={selectNone}>
            {t('bulk.none')}
          </button>
        </>
      ) : null}
    </div>
  );
}
