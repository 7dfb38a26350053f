// SPDX-License-Identifier: Apache-2.0
// Fails the build when what a browser fetches before the first page shows (index.html and every file it names) is over budget.
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const BUDGET = 90 * 1000;
const root = new URL('../dist/', import.meta.url);
const html = readFileSync(new URL('index.html', root), 'utf8');

const seen = new Map([['index.html', gzipSync(html).length]]);
const visit = (path) => {
  if (seen.has(path)) return;
  const body = readFileSync(new URL(path, root));
  seen.set(path, gzipSync(body).length);
  if (!path.endsWith('.js')) return;
  // Static imports between chunks; import("...") is fetched later and does not count.
  for (const [, name] of body.toString('utf8').matchAll(/(?:^|[;\n}])\s*(?:import|export)[^;"'()]*?from\s*["']\.\/([^"']+)["']/g))
    visit(path.replace(/[^/]*$/, '') + name);
};
for (const [, path] of html.matchAll(/(?:src|href)="\/([^"]+)"/g)) visit(path);

let total = 0;
for (const [path, size] of seen) {
  total += size;
  console.log(`${String(size).padStart(7)}  ${path}`);
}
console.log(`${String(total).padStart(7)}  bytes gzipped at first load, budget ${BUDGET}`);
if (total > BUDGET) {
  console.error('console: over budget');
  process.exit(1);
}
