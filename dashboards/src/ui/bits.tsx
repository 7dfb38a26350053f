// SPDX-License-Identifier: Apache-2.0
// Small pieces that every page uses: text from logs, times, levels, states, and the designed empty, loading and error states.
import type { ComponentChildren } from 'preact';
import { ApiError } from '../api';
import { now } from '../clock';
import { duration, fullTime, parseTime, relative, shortTime } from '../format';
import { segments, type Range } from '../hostile';
import { t, word } from '../i18n';
import type { AlertStatus, Level } from '../types';
import { Icon, levelIcon, type IconName } from './icon';

/** Text from outside: text nodes only, unseen characters by name, isolated so that right-to-left letters reorder nothing around them. */
export function LogText({ text, marks, mono, lines }: { text: string; marks?: readonly Range[]; mono?: boolean; lines?: boolean }) {
  return (
    <bdi class={mono ? 'log mono' : 'log'} dir="ltr">
      {segments(text, marks, lines).map((part) => {
        const inner = part.hidden ? (
          <span class="hidden-char" title={t('hidden_char')}>
            {part.text}
          </span>
        ) : (
          part.text
        );
        return part.mark ? <mark>{inner}</mark> : inner;
      })}
    </bdi>
  );
}

/** Local time; date, zone and "3 minutes ago" on hover. */
export function Time({ at, full }: { at: string; full?: boolean }) {
  const date = parseTime(at);
  if (!date) return <LogText text={at} />;
  const describe = (event: { currentTarget: HTMLElement }): void => {
    event.currentTarget.title = `${fullTime(date)} · ${relative(date, new Date())}`;
  };
  return (
    <time dateTime={at} onPointerEnter={describe}>
      {full ? fullTime(date) : shortTime(date, now.value)}
    </time>
  );
}

export function Age({ at }: { at: string }) {
  const date = parseTime(at);
  if (!date) return null;
  return <span class="nowrap">{duration((now.value.getTime() - date.getTime()) / 1000)}</span>;
}

export const levelName = (level: Level): string => word('level', String(level)) ?? String(level);

export function LevelBadge({ level }: { level: Level }) {
  return (
    <span class={`level level-${level}`}>
      <Icon name={levelIcon(level)} />
      <span>{levelName(level)}</span>
    </span>
  );
}

const statusIcon: Record<AlertStatus, IconName> = { new: 'alerts', acknowledged: 'eye', escalated: 'up', closed: 'check' };

export function StatusBadge({ status, reason }: { status: AlertStatus; reason?: string | null }) {
  return (
    <span class={`status status-${status}`}>
      <Icon name={statusIcon[status] ?? 'alerts'} />
      <span>{word('status', status) ?? status}</span>
      {status === 'closed' && reason ? <span class="status-reason">{word('reason', reason) ?? reason}</span> : null}
    </span>
  );
}

/** A state in a word, with one of four looks. */
export function StateBadge({ look, icon, children }: { look: 'good' | 'warn' | 'bad' | 'quiet'; icon?: IconName; children: ComponentChildren }) {
  const shape: IconName = icon ?? (look === 'good' ? 'check' : look === 'quiet' ? 'minus' : 'warn');
  return (
    <span class={`state state-${look}`}>
      <Icon name={shape} />
      <span>{children}</span>
    </span>
  );
}

export function DemoMark() {
  return (
    <span class="demo" title={t('demo.hint')}>
      <Icon name="demo" />
      {t('demo')}
    </span>
  );
}

export function Empty({ icon, title, children }: { icon: IconName; title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <Icon name={icon} />
      <p class="empty-title">{title}</p>
      {children}
    </div>
  );
}

export function Loading({ rows = 8 }: { rows?: number }) {
  return (
    <div class="loading" role="status">
      <span class="visually-hidden">{t('loading')}</span>
      {Array.from({ length: rows }, () => (
        <div class="loading-row" />
      ))}
    </div>
  );
}

/** What went wrong, in the reader's language where the code is known; the server's own words stay visible, for the administrator. */
export function errorText(error: unknown): string {
  if (!(error instanceof ApiError)) return t('error.unknown');
  const known = word('error', error.code);
  const says = error.message && !['aborted', 'no answer'].includes(error.message) ? error.message : '';
  if (known === null) return says || t('error.unknown');
  return ['bad_request', 'conflict', 'forbidden', 'locked', 'internal'].includes(error.code) && says ? `${known} (${says})` : known;
}

export function ErrorBox({ error, retry }: { error: unknown; retry?: () => void }) {
  return (
    <div class="error-box" role="alert">
      <Icon name="warn" />
      <p>{errorText(error)}</p>
      {retry ? (
        <button type="button" class="button" onClick={retry}>
          <Icon name="retry" />
          {t('retry')}
        </button>
      ) : null}
    </div>
  );
}

export function PageHead({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="page-head">
      <h1>{title}</h1>
      {children}
    </div>
  );
}
