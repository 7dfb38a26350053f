// SPDX-License-Identifier: Apache-2.0
// The audit trail of one object: who did what and when. Actions this console does not know are shown by their name, with their detail.
import { number } from '../format';
import { t, word } from '../i18n';
import type { HistoryEntry, Level } from '../types';
import { levelName, LogText, Time } from './bits';

const text = (value: unknown): string => (typeof value === 'string' ? value : typeof value === 'number' ? number(value) : JSON.stringify(value));

function Detail({ entry }: { entry: HistoryEntry }) {
  const { comment, reason, ...rest } = entry.detail ?? {};
  const others = Object.entries(rest).filter(([, value]) => value !== null && value !== '' && typeof value !== 'object');
  return (
    <>
      {typeof reason === 'string' ? <span class="tag">{word('reason', reason) ?? reason}</span> : null}
      {others.map(([name, value]) => (
        <span class="history-fact" key={name}>
          {word('fact', name) ?? name}: <LogText text={name === 'severity' ? levelName(Number(value) as Level) : (word('status', text(value)) ?? text(value))} />
        </span>
      ))}
      {typeof comment === 'string' && comment !== '' ? (
        <p class="history-comment">
          <LogText text={comment} lines />
        </p>
      ) : null}
    </>
  );
}

export function History({ entries }: { entries: readonly HistoryEntry[] }) {
  if (entries.length === 0) return <p class="hint">{t('history.none')}</p>;
  return (
    <ol class="history">
      {entries.map((entry, i) => (
        <li key={i}>
          <Time at={entry.at} full />
          <span class="history-what">
            <strong>{entry.user === 'system' ? t('history.system') : entry.user}</strong> {word('action', entry.action) ?? entry.action}
          </span>
          <Detail entry={entry} />
        </li>
      ))}
    </ol>
  );
}
