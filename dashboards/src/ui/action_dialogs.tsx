// SPDX-License-Identifier: Apache-2.0
// The dialogs of the actions, and the help. One is open at a time: the signal `dialog` says which.
import { useState } from 'preact/hooks';
import { busy, close, dialog, escalate, type Subject } from '../actions';
import { LEVELS } from '../filter';
import { localTitle, t, word, type Key } from '../i18n';
import { singleKeys } from '../prefs';
import type { CloseReason, Level } from '../types';
import { levelName } from './bits';
import { Dialog } from './dialog';
import { PasswordForm } from '../pages/sign_in';

const REASONS: readonly CloseReason[] = ['true_positive', 'false_positive', 'benign', 'duplicate'];
const shut = (): void => void (dialog.value = null);

function CloseDialog({ alerts, onDone }: { alerts: Subject[]; onDone: () => void }) {
  const [reason, setReason] = useState<CloseReason | null>(null);
  const [comment, setComment] = useState('');
  const [missing, setMissing] = useState(false);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (!reason) return setMissing(true);
    if (!(await close(alerts, reason, comment.trim()))) return;
    shut();
    onDone();
  };
  return (
    <Dialog title={t('close.title', { n: alerts.length })} onClose={shut}>
      <form onSubmit={submit} noValidate>
        <fieldset class="reasons" aria-describedby={missing ? 'close-missing' : undefined}>
          <legend>{t('close.reason')}</legend>
          {REASONS.map((value, i) => (
            <label class="reason" key={value}>
              <input type="radio" name="reason" value={value} checked={reason === value} autofocus={i === 0} onChange={() => (setReason(value), setMissing(false))} />
              <span>
                <strong>{word('reason', value)}</strong>
                <small>{word('reason_hint', value)}</small>
              </span>
            </label>
          ))}
        </fieldset>
        {missing ? (
          <p id="close-missing" class="field-error" role="alert">
            {t('close.missing')}
          </p>
        ) : null}
        <label class="field">
          <span>{t('comment')}</span>
          <textarea rows={3} maxLength={2000} value={comment} onInput={(event) => setComment(event.currentTarget.value)} />
        </label>
        <div class="dialog-actions">
          <button type="button" class="button" onClick={shut}>
            {t('cancel')}
          </button>
          <button type="submit" class="button button-primary" disabled={busy.value}>
            {t('close.do')}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function EscalateDialog({ alerts, onDone }: { alerts: Subject[]; onDone: () => void }) {
  const worst = alerts.reduce((a, b) => (b.rule.level > a.rule.level ? b : a));
  const hosts = new Set(alerts.map((alert) => alert.host));
  const [title, setTitle] = useState(`${localTitle(worst.rule)} — ${hosts.size === 1 ? worst.host : t('escalate.hosts', { n: hosts.size })}`.slice(0, 200));
  const [severity, setSeverity] = useState<Level>(worst.rule.level);
  const [note, setNote] = useState('');
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (!title.trim() || !(await escalate(alerts, title.trim(), severity, note.trim()))) return;
    shut();
    onDone();
  };
  return (
    <Dialog title={t('escalate.title', { n: alerts.length })} onClose={shut}>
      <form onSubmit={submit}>
        <p class="dialog-lead">{t(alerts.some((alert) => alert.demo) ? 'escalate.lead_demo' : 'escalate.lead')}</p>
        <label class="field">
          <span>{t('incident.title')}</span>
          <input type="text" required maxLength={200} value={title} autofocus onInput={(event) => setTitle(event.currentTarget.value)} />
        </label>
        <label class="field">
          <span>{t('incident.severity')}</span>
          <select value={String(severity)} onChange={(event) => setSeverity(Number(event.currentTarget.value) as Level)}>
            {LEVELS.map((level) => (
              <option key={level} value={String(level)}>
                {levelName(level)}
              </option>
            ))}
          </select>
        </label>
        <label class="field">
          <span>{t('incident.note')}</span>
          <textarea rows={4} maxLength={8000} value={note} onInput={(event) => setNote(event.currentTarget.value)} />
        </label>
        <div class="dialog-actions">
          <button type="button" class="button" onClick={shut}>
            {t('cancel')}
          </button>
          <button type="submit" class="button button-primary" disabled={busy.value || !title.trim()}>
            {t('escalate.do')}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

const KEY_HELP: readonly (readonly [string, Key])[] = [
  ['j', 'keys.next'],
  ['k', 'keys.previous'],
  ['Enter', 'keys.open'],
  ['Esc', 'keys.dismiss'],
  ['x', 'keys.select'],
  ['a', 'keys.acknowledge'],
  ['c', 'keys.close'],
  ['e', 'keys.escalate'],
  ['z', 'keys.undo'],
  ['n', 'keys.show_new'],
  ['p', 'keys.pause'],
  ['/', 'keys.search'],
  ['g a', 'keys.go_alerts'],
  ['g i', 'keys.go_incidents'],
  ['g n', 'keys.go_ncsc'],
  ['g t', 'keys.go_agents'],
  ['g r', 'keys.go_rules'],
  ['?', 'keys.help'],
];

function HelpDialog() {
  return (
    <Dialog title={t('keys.title')} onClose={shut} wide>
      <dl class="keys">
        {KEY_HELP.map(([keys, text]) => (
          <div key={keys}>
            <dt>
              {keys.split(' ').map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{t(text)}</dd>
          </div>
        ))}
      </dl>
      <label class="switch">
        <input type="checkbox" checked={singleKeys.value} onChange={(event) => (singleKeys.value = event.currentTarget.checked)} />
        <span>{t('keys.switch')}</span>
      </label>
    </Dialog>
  );
}

export function Dialogs() {
  const open = dialog.value;
  if (open === null) return null;
  switch (open.kind) {
    case 'close':
      return <CloseDialog alerts={open.alerts} onDone={open.onDone} />;
    case 'escalate':
      return <EscalateDialog alerts={open.alerts} onDone={open.onDone} />;
    case 'help':
      return <HelpDialog />;
    case 'password':
      return (
        <Dialog title={t('password.title')} onClose={shut}>
          <PasswordForm onDone={shut} />
        </Dialog>
      );
  }
}
