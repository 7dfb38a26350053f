// SPDX-License-Identifier: Apache-2.0
// Runs before the first paint, so that a dark room is not lit by a white page. Everything else about preferences is in src/prefs.ts.
try {
  var theme = localStorage.getItem('vonggac.theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
  if (localStorage.getItem('vonggac.lang') === 'en') document.documentElement.lang = 'en';
} catch (e) {
  // storage is forbidden: the system's theme
}
