// SPDX-License-Identifier: Apache-2.0
// What is around every page: header with navigation, the health strip, the banner for stale data, the user's menu.
import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { dialog } from '../actions';
import { second } from '../clock';
import { bytes, number } from '../format';
import { DISK_DAYS_WARN, dropsGrew, dropsTotal, LAG_WARN_EVENTS, status } from '../health';
import { lang, t, word, type Key } from '../i18n';
import { useActions } from '../keys';
import { singleKeys, theme, type Theme } from '../prefs';
import { navigate, route } from '../router';
import { ending, me, signOut, stay } from '../session';
import { connection, lastHeard } from '../stream';
import { Brand, Icon, type IconName } from './icon';

const PAGES = [
  { page: 'alerts', detail: 'alert', href: '/alerts', text: 'nav.alerts', icon: 'alerts' },
  { page: 'incidents', detail: 'incident', href: '/incidents', text: 'nav.incidents', icon: 'incidents' },
  { page: 'ncsc', detail: '', href: '/ncsc', text: 'nav.ncsc', icon: 'ncsc' },
  { page: 'agents', detail: '', href: '/agents', text: 'nav.agents', icon: 'agents' },
  { page: 'rules', detail: '', href: '/rules', text: 'nav.rules', icon: 'rules' },
] as const satisfies readonly { page: string; detail: string; href: string; text: Key; icon: IconName }[];

export function LangButton() {
  const other = lang.value === 'vi' ? 'en' : 'vi';
  return (
    <button type="button" class="button button-plain lang-button" lang={other} onClick={() => (lang.value = other)}>
      {other === 'en' ? 'English' : 'Tiếng Việt'}
    </button>
  );
}

export function ThemeSelect() {
  return (
    <label class="inline-field">
      <span>{t('theme')}</span>
      <select value={theme.value} onChange={(event) => (theme.value = event.currentTarget.value as Theme)}>
        <option value="system">{t('theme.system')}</option>
        <option value="light">{t('theme.light')}</option>
        <option value="dark">{t('theme.dark')}</option>
      </select>
    </label>
  );
}

function UserMenu() {
  const ref = useRef<HTMLDetailsElement>(null);
  const user = me.value;
  useEffect(() => {
    const outside = (event: Event): void => {
      if (ref.current?.open && event.target instanceof Node && !ref.current.contains(event.target)) ref.current.open = false;
    };
    const escape = (event: KeyboardEvent): void => {
      if (event.key !== 'Escape' || !ref.current?.open) return;
      event.preventDefault();
      ref.current.open = false;
      ref.current.querySelector('summary')?.focus();
    };
    document.addEventListener('pointerdown', outside);
    document.addEventListener('keydown', escape, { capture: true });
    return () => {
      document.removeEventListener('pointerdown', outside);
      document.removeEventListener('keydown', escape, { capture: true });
    };
  }, []);
  const pick = (action: () => void) => (): void => {
    if (ref.current) ref.current.open = false;
    action();
  };
  if (!user) return null;
  return (
    <details class="menu" ref={ref}>
      <summary aria-label={t('menu.user', { name: user.display_name || user.user })}>
        <Icon name="user" />
        <span class="menu-name">{user.display_name || user.user}</span>
      </summary>
      <div class="menu-panel">
        <p class="menu-who">
          <strong>{user.display_name || user.user}</strong>
          <span>
            {user.user} · {word('role', user.role) ?? user.role}
          </span>
        </p>
        <ThemeSelect />
        <label class="switch">
          <input type="checkbox" checked={singleKeys.value} onChange={(event) => (singleKeys.value = event.currentTarget.checked)} />
          <span>{t('keys.switch')}</span>
        </label>
        <button type="button" class="menu-item" onClick={pick(() => (dialog.value = { kind: 'help' }))}>
          <Icon name="key" />
          {t('keys.title')}
        </button>
        <button type="button" class="menu-item" onClick={pick(() => (dialog.value = { kind: 'password' }))}>
          <Icon name="user" />
          {t('password.title')}
        </button>
        <button type="button" class="menu-item" onClick={pick(() => void signOut())}>
          <Icon name="right" />
          {t('sign_out')}
        </button>
        <p class="menu-version">Vọng Gác {user.version}</p>
      </div>
    </details>
  );
}

const STALE_MS = 15_000;

function StaleBanner() {
  const silent = second.value - lastHeard.value;
  const stale = silent > STALE_MS;
  return (
    <div role="status" class="banner-place">
      {stale ? (
        <p class="banner">
          <Icon name="warn" />
          <span>
            {t('stale')} <span aria-hidden="true">{t('stale.for', { n: number(Math.floor(silent / 1000)) })}</span>
          </span>
        </p>
      ) : null}
    </div>
  );
}

function EndingNotice() {
  const left = ending.value;
  return (
    <div role="alert" class="ending-place">
      {left ? (
        <p class="ending">
          <Icon name="clock" />
          <span>
            {t(`ending.${left.why}`)} <span aria-hidden="true">{t('ending.seconds', { n: left.seconds })}</span>
          </span>
          {left.why === 'idle' ? (
            <button type="button" class="button button-primary" onClick={stay}>
              {t('ending.stay')}
            </button>
          ) : null}
        </p>
      ) : null}
    </div>
  );
}

function Vital({ label, value, warn, quiet, href, title }: { label: string; value: string; warn?: boolean; quiet?: boolean; href?: string; title?: string }) {
  const inner = (
    <>
      {warn ? <Icon name="warn" /> : null}
      <span class="vital-value">{value}</span> <span class="vital-label">{label}</span>
      {warn ? <span class="visually-hidden">{t('health.warn')}</span> : null}
    </>
  );
  return (
    <li class={warn ? 'vital vital-warn' : quiet ? 'vital vital-quiet' : 'vital'} title={title}>
      {href ? <a href={href}>{inner}</a> : inner}
    </li>
  );
}

function HealthStrip() {
  const s = status.value;
  const live = connection.value;
  return (
    <section class="health" aria-label={t('health')}>
      <p class={`connection connection-${live}`}>
        <span class="dot" />
        {t(`connection.${live}`)}
      </p>
      {s ? (
        <ul>
          <Vital label={t('health.events')} value={number(s.events_per_s, s.events_per_s < 10 ? 1 : 0)} />
          <Vital
            label={t('health.drops')}
            value={number(dropsTotal(s))}
            warn={dropsGrew.value}
            quiet={dropsTotal(s) === 0}
            title={Object.entries(s.drops)
              .map(([name, n]) => `${name}: ${number(n)}`)
              .join('\n')}
          />
          <Vital
            label={s.archive_days_left === null ? t('health.disk_free') : t('health.disk_days')}
            value={s.archive_days_left === null ? bytes(s.disk_free_bytes) : number(Math.min(s.archive_days_left, 9_999))}
            warn={s.archive_days_left !== null && s.archive_days_left < DISK_DAYS_WARN}
            title={t('health.disk_title', { free: bytes(s.disk_free_bytes), archive: bytes(s.archive_bytes) })}
          />
          <Vital label={t('health.rules')} value={number(s.rules_loaded)} warn={s.rule_errors > 0} href="/rules" title={t('health.rule_errors', { n: s.rule_errors })} />
          <Vital label={t('health.lag')} value={number(s.detection_lag_events)} warn={Number(s.detection_lag_events) > LAG_WARN_EVENTS} quiet={Number(s.detection_lag_events) === 0} title={t('health.lag_title')} />
          <Vital label={t('health.agents')} value={`${number(s.agents_active)}/${number(s.agents_total)}`} warn={s.agents_active < s.agents_total} quiet href="/agents" />
        </ul>
      ) : null}
    </section>
  );
}

export function Shell({ children }: { children: ComponentChildren }) {
  const here = route.value.page;
  useActions({
    go_alerts: () => navigate('/alerts'),
    go_incidents: () => navigate('/incidents'),
    go_ncsc: () => navigate('/ncsc'),
    go_agents: () => navigate('/agents'),
    go_rules: () => navigate('/rules'),
    help: () => (dialog.value = { kind: 'help' }),
  });
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => (event.preventDefault(), document.getElementById('main')?.focus())}>
        {t('skip')}
      </a>
      <header class="top">
        <a class="brand" href="/alerts" aria-label={t('brand.home')}>
          <Brand />
          <span>Vọng Gác</span>
        </a>
        <nav aria-label={t('nav')}>
          {PAGES.map(({ page, detail, href, text, icon }) => (
            <a key={page} href={href} aria-current={here === page ? 'page' : here === detail ? 'true' : undefined}>
              <Icon name={icon} />
              <span>{t(text)}</span>
            </a>
          ))}
        </nav>
        <div class="top-end">
          <LangButton />
          <UserMenu />
        </div>
      </header>
      <HealthStrip />
      <StaleBanner />
      <EndingNotice />
      <main id="main" tabIndex={-1}>
        {children}
      </main>
    </>
  );
}
