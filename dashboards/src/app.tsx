// SPDX-License-Identifier: Apache-2.0
// Which page is shown: the gate (sign-in, forced change of password) or one of the pages inside the shell.
import { useEffect } from 'preact/hooks';
import { t, type Key } from './i18n';
import { AgentsPage } from './pages/agents';
import { AlertPage } from './pages/alert_detail';
import { AlertsPage } from './pages/alerts';
import { IncidentPage } from './pages/incident';
import { IncidentsPage } from './pages/incidents';
import { NcscPage } from './pages/ncsc';
import { RulesPage } from './pages/rules';
import { MustChangePassword, SignIn } from './pages/sign_in';
import { route, type Route } from './router';
import { me, startSession, unreachable } from './session';
import { Dialogs } from './ui/action_dialogs';
import { Empty, ErrorBox, Loading } from './ui/bits';
import { Shell } from './ui/shell';
import { Toasts } from './ui/toast';

const titles: Partial<Record<Route['page'], Key>> = {
  alerts: 'nav.alerts',
  alert: 'alert',
  incidents: 'nav.incidents',
  incident: 'incident',
  ncsc: 'nav.ncsc',
  agents: 'nav.agents',
  rules: 'nav.rules',
};

function Page({ at }: { at: Route }) {
  switch (at.page) {
    case 'alerts':
      return <AlertsPage params={at.params} />;
    case 'alert':
      return <AlertPage key={at.id} id={at.id} />;
    case 'incidents':
      return <IncidentsPage />;
    case 'incident':
      return <IncidentPage key={at.id} id={at.id} />;
    case 'ncsc':
      return <NcscPage />;
    case 'agents':
      return <AgentsPage />;
    case 'rules':
      return <RulesPage />;
    default:
      return (
        <Empty icon="search" title={t('not_found')}>
          <a class="button" href="/alerts">
            {t('not_found.home')}
          </a>
        </Empty>
      );
  }
}

function Inside() {
  const at = route.value;
  const title = titles[at.page];
  useEffect(() => {
    if (title && at.page !== 'alerts') document.title = `${t(title)} · Vọng Gác`;
  });
  return (
    <Shell>
      <Page at={at} />
    </Shell>
  );
}

export function App() {
  const user = me.value;
  if (unreachable.value && user === undefined)
    return (
      <main class="gate">
        <ErrorBox error={unreachable.value} retry={() => void startSession()} />
      </main>
    );
  if (user === undefined)
    return (
      <main class="gate">
        <Loading rows={3} />
      </main>
    );
  return (
    <>
      {user === null ? <SignIn /> : user.must_change_password ? <MustChangePassword /> : <Inside />}
      <Dialogs />
      <Toasts />
    </>
  );
}
