// SPDX-License-Identifier: Apache-2.0
// The rules in force, what they found in the last day, and the files that could not be loaded, with line and column.
import { useState } from 'preact/hooks';
import { number } from '../format';
import { localTitle, t, word } from '../i18n';
import type { Rule, RuleError } from '../types';
import { Empty, ErrorBox, LevelBadge, Loading, LogText, PageHead } from '../ui/bits';
import { Icon } from '../ui/icon';
import { useResource } from '../ui/resource';

const matches = (rule: Rule, words: readonly string[]): boolean => {
  const text = `${rule.title} ${rule.title_vi ?? ''} ${rule.author ?? ''} ${rule.file} ${rule.tags.join(' ')} ${rule.id}`.toLowerCase();
  return words.every((word) => text.includes(word));
};

export function RulesPage() {
  const resource = useResource<{ rules: Rule[]; errors: RuleError[] }>('/api/rules');
  const [words, setWords] = useState('');
  const data = resource.value;
  const shown = data?.rules
    .filter((rule) => matches(rule, words.toLowerCase().split(/\s+/).filter(Boolean)))
    .sort((a, b) => b.hits_24h - a.hits_24h || b.level - a.level || a.title.localeCompare(b.title));
  return (
    <section class="page">
      <PageHead title={t('nav.rules')}>{data ? <p class="page-count">{t('rules.count', { n: number(data.rules.length) })}</p> : null}</PageHead>
      {!data || !shown ? (
        resource.error ? (
          <ErrorBox error={resource.error} retry={resource.reload} />
        ) : (
          <Loading />
        )
      ) : (
        <>
          {data.errors.length > 0 ? (
            <section class="rule-errors" aria-labelledby="rule-errors">
              <h2 id="rule-errors">
                <Icon name="warn" />
                {t('rules.errors', { n: number(data.errors.length) })}
              </h2>
              <ul>
                {data.errors.map((error, i) => (
                  <li key={i}>
                    <span class="mono">
                      <LogText text={error.file} />
                      {error.line ? `:${error.line}` : ''}
                      {error.line && error.column ? `:${error.column}` : ''}
                    </span>{' '}
                    <LogText text={error.error} />
                  </li>
                ))}
              </ul>
            </section>
          ) : null}
          <label class="field rule-search">
            <span>{t('rules.search')}</span>
            <input type="search" value={words} onInput={(event) => setWords(event.currentTarget.value)} />
          </label>
          {shown.length === 0 ? (
            <Empty icon="rules" title={t(data.rules.length === 0 ? 'rules.none' : 'rules.none_found')} />
          ) : (
            <div class="table-box">
              <table class="cards" role="table">
                <caption class="visually-hidden">{t('rules.caption')}</caption>
                <thead role="rowgroup">
                  <tr role="row">
                    {(['rules.hits', 'col.level', 'col.rule', 'rules.kind', 'col.tags', 'detail.author', 'detail.file'] as const).map((key) => (
                      <th role="columnheader" scope="col" key={key}>
                        {t(key)}
                      </th>
                    ))}
                  </tr>
                </thead>
                <tbody role="rowgroup">
                  {shown.map((rule) => (
                    <tr role="row" key={rule.id}>
                      <td role="cell" class={rule.hits_24h > 0 ? 'figure figure-strong' : 'figure figure-zero'} data-label={t('rules.hits')}>
                        {number(rule.hits_24h)}
                      </td>
                      <td role="cell" data-label={t('col.level')}>
                        <LevelBadge level={rule.level} />
                      </td>
                      <th role="rowheader" scope="row" class="card-title">
                        <a href={`/alerts?${new URLSearchParams({ status: 'all', rule: rule.id })}`}>{localTitle(rule)}</a>
                      </th>
                      <td role="cell" data-label={t('rules.kind')}>
                        {word('kind', rule.kind) ?? rule.kind}
                      </td>
                      <td role="cell" data-label={t('col.tags')} class="rule-tags">
                        {rule.tags.map((tag) => (
                          <span class="tag" key={tag}>
                            {tag}
                          </span>
                        ))}
                      </td>
                      <td role="cell" data-label={t('detail.author')} class="wrap">
                        {rule.author ?? '—'}
                      </td>
                      <td role="cell" data-label={t('detail.file')} class="mono wrap">
                        {rule.file}
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )}
        </>
      )}
    </section>
  );
}
