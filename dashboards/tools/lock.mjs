// SPDX-License-Identifier: Apache-2.0
// package-lock.json must name no registry host (each site uses its own), pin every package by hash, and package.json must pin exact versions.
import { readFileSync } from 'node:fs';

const read = (name) => readFileSync(new URL(`../${name}`, import.meta.url), 'utf8');
const faults = [];
const lock = JSON.parse(read('package-lock.json'));
for (const [path, entry] of Object.entries(lock.packages)) {
  if (path === '') continue;
  if (entry.resolved) faults.push(`${path} names a host: ${entry.resolved}`);
  if (!entry.integrity) faults.push(`${path} has no integrity hash`);
}
const { dependencies, devDependencies } = JSON.parse(read('package.json'));
for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies }))
  if (!/^\d+\.\d+\.\d+$/.test(version)) faults.push(`${name} is not pinned exactly: ${version}`);
for (const fault of faults) console.error(`package-lock: ${fault}`);
process.exit(faults.length ? 1 : 0);
