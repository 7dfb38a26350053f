// SPDX-License-Identifier: Apache-2.0
// The agents: who reports, who is late or silent, what each sends. Asked again while the page is open, since agents come with no event.
import { Fragment } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { number } from '../format';
import { t, word } from '../i18n';
import { onStream } from '../stream';
import type { Agent, AgentState } from '../types';
import { Age, Empty, ErrorBox, Loading, LogText, PageHead, StateBadge, Time } from '../ui/bits';
import { Icon } from '../ui/icon';
import { useResource } from '../ui/resource';
import { Expiry } from './ncsc';

const look: Record<AgentState, 'good' | 'warn' | 'bad' | 'quiet'> = { active: 'good', late: 'warn', silent: 'bad', never: 'quiet', revoked: 'quiet' };
const REFRESH_MS = 15_000;

function More({ agent }: { agent: Agent }) {
  const stats = Object.entries(agent.stats).filter(([, value]) => ['number', 'string', 'boolean'].includes(typeof value));
  return (
    <div class="agent-more">
      <section>
        <h3>{t('agents.sources')}</h3>
        {agent.sources.length === 0 ? (
          <p class="hint">{t('agents.no_sources')}</p>
        ) : (
          <ul class="source-list">
            {agent.sources.map((source) => (
              <li key={source.source}>
                <LogText text={source.source} mono /> <span class="hint">{t('agents.last')}</span> <Time at={source.last} />
              </li>
            ))}
          </ul>
        )}
      </section>
      {stats.length > 0 ? (
        <section>
          <h3>{t('agents.stats')}</h3>
          <dl class="facts facts-dense">
            {stats.map(([name, value]) => (
              <div key={name}>
                <dt class="mono">{name}</dt>
                <dd>{typeof value === 'number' ? number(value, 1) : <LogText text={String(value)} />}</dd>
              </div>
            ))}
          </dl>
        </section>
      ) : null}
      <p class="hint mono">{agent.id}</p>
    </div>
  );
}

export function AgentsPage() {
  const resource = useResource<{ agents: Agent[] }>('/api/agents');
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const latest = useRef(resource);
  latest.current = resource;
  useEffect(() => {
    const timer = setInterval(() => !document.hidden && latest.current.follow(), REFRESH_MS);
    const end = onStream('reset', () => latest.current.follow());
    return () => (clearInterval(timer), end());
  }, []);
  const agents = resource.value?.agents;
  const flip = (id: string): void => {
    const next = new Set(open);
    if (!next.delete(id)) next.add(id);
    setOpen(next);
  };
  return (
    <section class="page">
      <PageHead title={t('nav.agents')}>
        {agents && agents.length > 0 ? (
          <p class="page-count">
            {(Object.keys(look) as AgentState[])
              .map((state) => [state, agents.filter((agent) => agent.state === state).length] as const)
              .filter(([, n]) => n > 0)
              .map(([state, n]) => (
                <StateBadge key={state} look={look[state]}>
                  {number(n)} {word('agent', state)}
                </StateBadge>
              ))}
          </p>
        ) : null}
      </PageHead>
      {!agents ? (
        resource.error ? (
          <ErrorBox error={resource.error} retry={resource.reload} />
        ) : (
          <Loading />
        )
      ) : agents.length === 0 ? (
        <Empty icon="agents" title={t('agents.none')}>
          <p>{t('agents.none_hint')}</p>
          <pre class="command">vonggac agent token</pre>
        </Empty>
      ) : (
        <div class="table-box">
          <table class="cards" role="table">
            <caption class="visually-hidden">{t('agents.caption')}</caption>
            <thead role="rowgroup">
              <tr role="row">
                {(['col.status', 'col.host', 'agents.version', 'agents.seen', 'agents.sources', 'agents.enrolled', 'agents.certificate'] as const).map((key) => (
                  <th role="columnheader" scope="col" key={key}>
                    {t(key)}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody role="rowgroup">
              {agents.map((agent) => (
                <Fragment key={agent.id}>
                  <tr role="row">
                    <td role="cell" data-label={t('col.status')}>
                      <StateBadge look={look[agent.state] ?? 'quiet'}>{word('agent', agent.state) ?? agent.state}</StateBadge>
                    </td>
                    <th role="rowheader" scope="row" class="card-title">
                      <a href={`/alerts?${new URLSearchParams({ host: agent.host, status: 'all' })}`}>
                        <LogText text={agent.host} />
                      </a>
                    </th>
                    <td role="cell" data-label={t('agents.version')}>
                      <LogText text={agent.version || '—'} />
                    </td>
                    <td role="cell" data-label={t('agents.seen')}>
                      {agent.last_seen ? (
                        <>
                          <Time at={agent.last_seen} />{' '}
                          <span class="hint">
                            (<Age at={agent.last_seen} />)
                          </span>
                        </>
                      ) : (
                        '—'
                      )}
                    </td>
                    <td role="cell" data-label={t('agents.sources')}>
                      <button type="button" class="expander" aria-expanded={open.has(agent.id)} onClick={() => flip(agent.id)}>
                        <Icon name={open.has(agent.id) ? 'down' : 'right'} />
                        {t('agents.source_count', { n: number(agent.sources.length) })}
                      </button>
                    </td>
                    <td role="cell" data-label={t('agents.enrolled')}>
                      <Time at={agent.enrolled} />
                    </td>
                    <td role="cell" data-label={t('agents.certificate')}>
                      <Expiry at={agent.certificate_not_after} />
                    </td>
                  </tr>
                  {open.has(agent.id) ? (
                    <tr role="row" class="card-more">
                      <td role="cell" colSpan={7}>
                        <More agent={agent} />
                      </td>
                    </tr>
                  ) : null}
                </Fragment>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}
