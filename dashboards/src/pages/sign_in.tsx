// SPDX-License-Identifier: Apache-2.0
// Signing in, and changing the password: forced after a one-time password, or by choice from the user's menu.
import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError } from '../api';
import { t } from '../i18n';
import { changePassword, expired, me, passwordRules, signIn, signOut } from '../session';
import { errorText } from '../ui/bits';
import { Brand, Icon } from '../ui/icon';
import { LangButton, ThemeSelect } from '../ui/shell';
import { toast } from '../ui/toast';

function Frame({ title, children }: { title: string; children: ComponentChildren }) {
  useEffect(() => void (document.title = `${title} · Vọng Gác`), [title]);
  return (
    <div class="gate">
      <main class="gate-card">
        <div class="gate-brand">
          <Brand />
          <div>
            <p class="gate-name">Vọng Gác</p>
            <p class="gate-line">{t('brand.line')}</p>
          </div>
        </div>
        <h1>{title}</h1>
        {children}
      </main>
      <div class="gate-foot">
        <LangButton />
        <ThemeSelect />
      </div>
    </div>
  );
}

export function SignIn() {
  const [user, setUser] = useState('');
  const [password, setPassword] = useState('');
  const [error, setError] = useState<string | null>(null);
  const [waiting, setWaiting] = useState(false);
  const passwordField = useRef<HTMLInputElement>(null);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (waiting) return;
    setWaiting(true);
    setError(null);
    try {
      await signIn(user.trim(), password);
    } catch (failure) {
      setError(failure instanceof ApiError && failure.status === 401 ? t('sign_in.wrong') : errorText(failure));
      setPassword('');
      passwordField.current?.focus();
    } finally {
      setWaiting(false);
    }
  };
  return (
    <Frame title={t('sign_in.title')}>
      {expired.value ? (
        <p class="notice">
          <Icon name="clock" />
          {t('sign_in.expired')}
        </p>
      ) : null}
      <form onSubmit={submit}>
        <label class="field">
          <span>{t('sign_in.user')}</span>
          <input type="text" name="username" autocomplete="username" autocapitalize="none" spellcheck={false} required autofocus value={user} onInput={(event) => setUser(event.currentTarget.value)} />
        </label>
        <label class="field">
          <span>{t('sign_in.password')}</span>
          <input ref={passwordField} type="password" name="password" autocomplete="current-password" required value={password} onInput={(event) => setPassword(event.currentTarget.value)} />
        </label>
        <div role="alert">{error ? <p class="field-error">{error}</p> : null}</div>
        <button type="submit" class="button button-primary button-wide" disabled={waiting}>
          {t('sign_in.do')}
        </button>
      </form>
    </Frame>
  );
}

export function PasswordForm({ onDone }: { onDone: () => void }) {
  const [old, setOld] = useState('');
  const [next, setNext] = useState('');
  const [again, setAgain] = useState('');
  const [error, setError] = useState<string | null>(null);
  const [waiting, setWaiting] = useState(false);
  const rules = passwordRules(next, me.value?.user ?? '');
  const met = Object.values(rules).every(Boolean);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (waiting) return;
    if (!met) return setError(t('password.unmet'));
    if (next !== again) return setError(t('password.differ'));
    setWaiting(true);
    setError(null);
    try {
      await changePassword(old, next);
      toast(t('password.done'));
      onDone();
    } catch (failure) {
      setError(failure instanceof ApiError && failure.code === 'forbidden' ? t('password.wrong') : errorText(failure));
    } finally {
      setWaiting(false);
    }
  };
  return (
    <form onSubmit={submit} noValidate>
      <input type="text" name="username" autocomplete="username" value={me.value?.user ?? ''} readOnly hidden />
      <label class="field">
        <span>{t('password.old')}</span>
        <input type="password" name="old" autocomplete="current-password" required autofocus value={old} onInput={(event) => setOld(event.currentTarget.value)} />
      </label>
      <label class="field">
        <span>{t('password.new')}</span>
        <input type="password" name="new" autocomplete="new-password" required aria-describedby="password-rules" value={next} onInput={(event) => setNext(event.currentTarget.value)} />
      </label>
      <ul id="password-rules" class="password-rules">
        {(Object.keys(rules) as (keyof typeof rules)[]).map((rule) => (
          <li key={rule} class={rules[rule] ? 'met' : 'unmet'}>
            <Icon name={rules[rule] ? 'check' : 'minus'} />
            <span>{t(`password.rule.${rule}`)}</span>
            <span class="visually-hidden">{t(rules[rule] ? 'password.met' : 'password.not_met')}</span>
          </li>
        ))}
        <li class="unmet">
          <Icon name="minus" />
          <span>{t('password.rule.history')}</span>
        </li>
      </ul>
      <label class="field">
        <span>{t('password.again')}</span>
        <input type="password" name="again" autocomplete="new-password" required value={again} onInput={(event) => setAgain(event.currentTarget.value)} />
      </label>
      <div role="alert">{error ? <p class="field-error">{error}</p> : null}</div>
      <button type="submit" class="button button-primary button-wide" disabled={waiting}>
        {t('password.do')}
      </button>
    </form>
  );
}

export function MustChangePassword() {
  return (
    <Frame title={t('password.title')}>
      <p class="notice">
        <Icon name="key" />
        {t('password.must')}
      </p>
      <PasswordForm onDone={() => undefined} />
      <button type="button" class="button button-plain button-wide" onClick={() => void signOut()}>
        {t('sign_out')}
      </button>
    </Frame>
  );
}
