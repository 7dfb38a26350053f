// SPDX-License-Identifier: Apache-2.0
// The alerts as one table, flat or under headings by rule and host. Roles are written out because narrow screens lay the cells out as
// cards with CSS, and a browser that sees `display: grid` on a table would otherwise forget that it is one.
import { memo } from '../ui/memo';
import { now } from '../clock';
import { number, zoneName } from '../format';
import type { AlertFilter } from '../filter';
import { plain } from '../hostile';
import { localTitle, t } from '../i18n';
import type { Alert, AlertGroup } from '../types';
import { Age, DemoMark, LevelBadge, LogText, StatusBadge, Time } from '../ui/bits';
import { Icon } from '../ui/icon';
import { groupKey, type AlertsModel } from './alerts_model';

const techniques = (tags: readonly string[]): string[] =>
  tags.flatMap((tag) => /^attack\.(t\d{4}(?:\.\d{3})?)$/i.exec(tag)?.[1]?.toUpperCase() ?? []);

interface RowProps {
  alert: Alert;
  href: string;
  selected: boolean;
  current: boolean;
  open: boolean;
  fresh: boolean;
  inGroup: boolean;
  onSelect: (id: string, on: boolean, range: boolean) => void;
  onCurrent: (id: string) => void;
}

const AlertRow = memo(function AlertRow({ alert, href, selected, current, open, fresh, inGroup, onSelect, onCurrent }: RowProps) {
  const title = localTitle(alert.rule);
  const classes = ['row', `row-level-${alert.rule.level}`];
  if (alert.status === 'closed') classes.push('row-closed');
  if (selected) classes.push('row-selected');
  if (current) classes.push('row-current');
  if (open) classes.push('row-open');
  if (fresh) classes.push('row-fresh');
  if (inGroup) classes.push('row-in-group');
  return (
    <tr role="row" class={classes.join(' ')} data-stop={alert.id} data-id={alert.id} onFocusIn={() => onCurrent(alert.id)}>
      <td role="cell" class="c-select">
        <input
          type="checkbox"
          aria-label={t('row.select', { title: plain(title, 80), host: plain(alert.host, 60) })}
          checked={selected}
          onClick={(event) => onSelect(alert.id, event.currentTarget.checked, event.shiftKey)}
        />
      </td>
      <td role="cell" class="c-level">
        <LevelBadge level={alert.rule.level} />
      </td>
      <td role="cell" class="c-time">
        <Time at={alert.last} />
      </td>
      <td role="cell" class="c-rule">
        <a class="row-main" href={href}>
          {title}
        </a>
        {alert.count > 1 ? (
          <span class="times" title={t('row.count', { n: number(alert.count) })}>
            ×{number(alert.count)}
          </span>
        ) : null}
        {alert.demo ? <DemoMark /> : null}
      </td>
      <td role="cell" class="c-host">
        <LogText text={alert.host} />
      </td>
      <td role="cell" class="c-user">{alert.user === null ? null : <LogText text={alert.user} />}</td>
      <td role="cell" class="c-flow">
        {alert.source_ip === null ? null : <LogText text={alert.source_ip} mono />}
        {alert.destination_ip === null ? null : (
          <span class="flow-to">
            <span role="img" aria-label={t('row.to')}>→</span>{'\u00a0'}
            <LogText text={alert.destination_ip} mono />
          </span>
        )}
      </td>
      <td role="cell" class="c-technique">
        {techniques(alert.rule.tags).map((id) => (
          <span class="tag" key={id}>
            {id}
          </span>
        ))}
      </td>
      <td role="cell" class="c-status">
        <StatusBadge status={alert.status} reason={alert.close_reason} />
      </td>
      <td role="cell" class="c-owner">{alert.owner}</td>
      <td role="cell" class="c-age">
        <Age at={alert.created} />
      </td>
    </tr>
  );
});

export function AlertTable({
  model,
  filter,
  openId,
  url,
  apply,
  onGroupSelect,
}: {
  model: AlertsModel;
  filter: AlertFilter;
  openId: string | null;
  url: (filter: AlertFilter, open: string | null) => string;
  apply: (change: Partial<AlertFilter>) => void;
  onGroupSelect: (key: string, on: boolean) => Promise<void>;
}) {
  const { rows } = model.list.value;
  const selection = model.selection.value;
  const current = model.current.value;
  const fresh = model.fresh.value;
  const allSelected = rows.length > 0 && rows.every((row) => selection.has(row.id));

  const onCurrent = model.setCurrent;
  const onSelect = model.onSelect;
  const row = (alert: Alert, inGroup: boolean) => (
    <AlertRow
      key={alert.id}
      alert={alert}
      href={url(filter, alert.id)}
      selected={selection.has(alert.id)}
      current={current === alert.id}
      open={openId === alert.id}
      fresh={fresh.has(alert.id)}
      inGroup={inGroup}
      onSelect={onSelect}
      onCurrent={onCurrent}
    />
  );

  const sortable = (column: 'last' | 'level', text: string) => (
    <button type="button" class="sort" onClick={() => apply({ sort: column })} title={t('sort.by', { column: text })}>
      {text}
      {filter.sort === column ? <Icon name="down" /> : null}
    </button>
  );
  const sorted = (column: 'last' | 'level') => (filter.sort === column ? 'descending' : undefined);

  return (
    <div class="table-box">
      <table class="alerts" role="table">
        <caption class="visually-hidden">{t(filter.grouped ? 'alerts.caption_groups' : 'alerts.caption')}</caption>
        <thead role="rowgroup">
          <tr role="row">
            <th role="columnheader" scope="col" class="c-select">
              <input
                type="checkbox"
                aria-label={t('select.all')}
                checked={allSelected}
                disabled={rows.length === 0}
                ref={(box: HTMLInputElement | null) => {
                  if (box) box.indeterminate = selection.size > 0 && !allSelected;
                }}
                onClick={(event) => model.select(rows.map((alert) => alert.id), event.currentTarget.checked)}
              />
            </th>
            <th role="columnheader" scope="col" class="c-level" aria-sort={sorted('level')}>
              {sortable('level', t('col.level'))}
            </th>
            <th role="columnheader" scope="col" class="c-time" aria-sort={sorted('last')}>
              {sortable('last', t('col.time'))} <span class="zone">{zoneName(now.value)}</span>
            </th>
            <th role="columnheader" scope="col" class="c-rule">
              {t('col.rule')}
            </th>
            <th role="columnheader" scope="col" class="c-host">
              {t('col.host')}
            </th>
            <th role="columnheader" scope="col" class="c-user">
              {t('col.user')}
            </th>
            <th role="columnheader" scope="col" class="c-flow">
              {t('col.flow')}
            </th>
            <th role="columnheader" scope="col" class="c-technique">
              {t('col.technique')}
            </th>
            <th role="columnheader" scope="col" class="c-status">
              {t('col.status')}
            </th>
            <th role="columnheader" scope="col" class="c-owner">
              {t('col.owner')}
            </th>
            <th role="columnheader" scope="col" class="c-age">
              {t('col.age')}
            </th>
          </tr>
        </thead>
        {filter.grouped ? (
          model.groups.value.map((group) => (
            <Group key={groupKey(group)} model={model} group={group} href={url({ ...filter, grouped: false, rule: group.rule_id, host: group.host }, null)} row={row} onSelect={onGroupSelect} />
          ))
        ) : (
          <tbody role="rowgroup">{rows.map((alert) => row(alert, false))}</tbody>
        )}
      </table>
    </div>
  );
}

function Group({
  model,
  group,
  href,
  row,
  onSelect,
}: {
  model: AlertsModel;
  group: AlertGroup;
  href: string;
  row: (alert: Alert, inGroup: boolean) => preact.ComponentChild;
  onSelect: (key: string, on: boolean) => Promise<void>;
}) {
  const key = groupKey(group);
  const expanded = model.expanded.value.has(key);
  const alerts = model.byGroup.value.get(key) ?? [];
  const chosen = alerts.filter((alert) => model.selection.value.has(alert.id)).length;
  const title = localTitle({ title: group.rule_title, title_vi: group.rule_title_vi });
  const stop = `g${key}`;
  return (
    <tbody role="rowgroup">
      <tr role="row" class={model.current.value === stop ? 'group row-current' : 'group'} data-stop={stop} onFocusIn={() => model.setCurrent(stop)}>
        <td role="cell" class="c-select">
          <input
            type="checkbox"
            aria-label={t('group.select', { title: plain(title, 80), host: plain(group.host, 60) })}
            checked={alerts.length > 0 && chosen === alerts.length}
            ref={(box: HTMLInputElement | null) => {
              if (box) box.indeterminate = chosen > 0 && chosen < alerts.length;
            }}
            onClick={(event) => void onSelect(key, event.currentTarget.checked)}
          />
        </td>
        <td role="cell" class="c-level">
          <LevelBadge level={group.level} />
        </td>
        <td role="cell" class="c-time">
          <Time at={group.last} />
        </td>
        <th role="rowheader" scope="row" class="c-rule" colSpan={7}>
          <button type="button" class="row-main group-toggle" aria-expanded={expanded} onClick={() => model.toggleGroup(key)}>
            <Icon name={expanded ? 'down' : 'right'} />
            <strong class="group-count">{number(group.count)}</strong>
            <span class="group-title">{title}</span>
            <span class="group-host">
              <LogText text={group.host} />
            </span>
          </button>
          {group.new > 0 ? <span class="group-new">{t('group.new', { n: number(group.new) })}</span> : null}
          <a class="group-all" href={href}>
            {t('group.flat')}
          </a>
        </th>
        <td role="cell" class="c-age">
          <Age at={group.first} />
        </td>
      </tr>
      {expanded ? alerts.map((alert) => row(alert, true)) : null}
      {expanded && alerts.length === 0 ? (
        <tr role="row">
          <td role="cell" colSpan={11} class="group-wait">
            {model.loadingGroups.value.has(key) ? t('loading') : t('group.empty')}
          </td>
        </tr>
      ) : null}
    </tbody>
  );
}
