// SPDX-License-Identifier: Apache-2.0
// Writes FILE.gz beside every text file of dist/, for nginx's gzip_static. Run by `npm run build`.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync, constants } from 'node:zlib';

const root = new URL('../dist/', import.meta.url).pathname;
for (const entry of readdirSync(root, { recursive: true })) {
  const path = join(root, entry);
  if (!/\.(html|js|css|svg|json|txt|webmanifest)$/.test(path)) continue;
  const plain = readFileSync(path);
  const packed = gzipSync(plain, { level: constants.Z_BEST_COMPRESSION });
  if (packed.length < plain.length) writeFileSync(`${path}.gz`, packed);
}
