// SPDX-License-Identifier: Apache-2.0
import { render } from 'preact';
import { App } from './app';
import { startClock } from './clock';
import { startKeys } from './keys';
import { startPrefs } from './prefs';
import { startRouter } from './router';
import { startSession } from './session';
import './styles/tokens.css';
import './styles/base.css';
import './styles/shell.css';
import './styles/alerts.css';
import './styles/detail.css';

startPrefs();
startRouter();
startClock();
startKeys();
void startSession();

const place = document.getElementById('app');
if (place) render(<App />, place);
